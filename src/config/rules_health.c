/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for http.debug and health: what is to be asked must be something that can be asked. */
#include "config/address.h"
#include "config/config_priv.h"

/* Where the text of a required key stands in an item; NULL, and an error, if it does not. */
static const struct rs_yaml *need_text(struct config_load *l, const struct rs_yaml *item, const char *path,
                                       const char *name)
{
    const struct rs_yaml *node = rs_yaml_get(item, name);
    if (!rs_yaml_is_null(node) && node->kind == RS_YAML_SCALAR && node->text.len > 0)
        return node;
    if (rs_yaml_is_null(node) || node->kind == RS_YAML_SCALAR)
        config_error(l, item, path, "needs a \"%s\"", name);
    return NULL;
}

static void check_file(struct config_load *l, const struct rs_yaml *item, const char *path)
{
    need_text(l, item, path, "file");
}

static void check_http(struct config_load *l, const struct rs_yaml *item, const char *path)
{
    const struct rs_yaml *uri = need_text(l, item, path, "uri");
    if (uri != NULL && rs_str_eq_c(uri->text, "***"))
        config_warn(l, uri, path, "its uri is ***, which config check shows in place of a secret, and no address");
    else if (uri != NULL && !config_is_url(uri->text))
        config_error(l, uri, path, "its uri needs to be an address such as https://example.org/health");
    config_check_headers(l, rs_yaml_get(item, "headers"), path);
}

static void check_tcp(struct config_load *l, const struct rs_yaml *item, const char *path)
{
    const struct rs_yaml *addr = need_text(l, item, path, "addr");
    const char *wrong = addr != NULL ? config_address_check(RS_CONFIG_TCP, addr->text.ptr) : NULL;
    if (wrong != NULL)
        config_error(l, addr, path, "its addr %s", wrong);
}

static size_t check_list(struct config_load *l, const char *path,
                         void (*check)(struct config_load *l, const struct rs_yaml *item, const char *path))
{
    const struct rs_yaml *list = config_node(l->root, path);
    size_t count = 0;
    if (list == NULL || list->kind != RS_YAML_LIST)
        return 0;
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next, count++)
        if (item->kind == RS_YAML_MAP)
            check(l, item, rs_arena_printf(l->arena, "%s[%zu]", path, count).ptr);
    return count;
}

static void rule_debug(struct config_load *l)
{
    const struct rs_config_http *http = &l->config->http;
    const struct rs_yaml *addr = config_node(l->root, "http.debug.addr");
    const char *wrong = http->debug_addr[0] != '\0' ? config_address_check(RS_CONFIG_TCP, http->debug_addr) : NULL;
    if (wrong != NULL)
        config_error(l, addr, "http.debug.addr", "%s", wrong);
    if (http->debug_metrics && http->debug_addr[0] == '\0')
        config_warn(l, config_node(l->root, "http.debug.prometheus"), "http.debug.prometheus",
                    "needs http.debug.addr: without it, nothing shows the metrics");
    rs_str path = rs_str_c(http->debug_path);
    bool shown = path.ptr[0] == '/' && path.len > 1 && strpbrk(path.ptr, "*?#% ") == NULL;
    if (!shown || rs_str_starts(path, RS_STR("/debug/")))
        config_error(l, config_node(l->root, "http.debug.prometheus.path"), "http.debug.prometheus.path",
                     "needs a path such as /metrics, not below /debug/");
}

void config_rules_health(struct config_load *l)
{
    size_t count = check_list(l, "health.file", check_file) + check_list(l, "health.http", check_http) +
                   check_list(l, "health.tcp", check_tcp) + 1;
    if (count > RS_CONFIG_CHECKS_MAX)
        config_error(l, config_node(l->root, "health"), "health", "has %zu checks; at most %d are allowed", count,
                     RS_CONFIG_CHECKS_MAX);
    rule_debug(l);
}
