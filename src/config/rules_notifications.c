/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for notifications.endpoints. What registry:2 takes is taken; an address may hold secrets and is never shown. */
#include "config/config_priv.h"

bool config_is_url(rs_str url)
{
    rs_str rest = {0};
    if (rs_str_eq_nocase(rs_str_sub(url, 0, 7), RS_STR("http://")))
        rest = rs_str_from(url, 7);
    else if (rs_str_eq_nocase(rs_str_sub(url, 0, 8), RS_STR("https://")))
        rest = rs_str_from(url, 8);
    for (size_t i = 0; i < rest.len; i++)
        if (rest.ptr[i] <= ' ' || rest.ptr[i] > '~')
            return false;
    return rest.len > 0 && rest.ptr[0] != '/';
}

static bool has_name(const struct rs_yaml *item, rs_str name)
{
    const struct rs_yaml *node = rs_yaml_get(item, "name");
    return node != NULL && node->kind == RS_YAML_SCALAR && rs_str_eq(node->text, name);
}

static void check_name(struct config_load *l, const struct rs_yaml *list, const struct rs_yaml *item, const char *path)
{
    const struct rs_yaml *name = rs_yaml_get(item, "name");
    if (rs_yaml_is_null(name) || (name->kind == RS_YAML_SCALAR && name->text.len == 0)) {
        config_warn(l, item, path, "has no name: its queue and its metrics have only its place in the list");
        return;
    }
    for (const struct rs_yaml *before = list->first; before != item; before = before->next)
        if (name->kind == RS_YAML_SCALAR && has_name(before, name->text)) {
            config_warn(l, name, path, "has the name of another one: their queues are told apart by their order");
            return;
        }
}

static void check_url(struct config_load *l, const struct rs_yaml *item, const char *path)
{
    const struct rs_yaml *url = rs_yaml_get(item, "url");
    if (rs_yaml_is_null(url))
        config_error(l, item, path, "needs a \"url\"");
    else if (url->kind == RS_YAML_SCALAR && rs_str_eq_c(url->text, "***"))
        config_warn(l, url, path, "its url is ***, which config check shows in place of a secret, and no address");
    else if (url->kind == RS_YAML_SCALAR && !config_is_url(url->text))
        config_error(l, url, path, "its url needs to be an address such as https://hooks.example.org/registry");
}

static bool is_action(const char *z)
{
    static const char *const known[] = {"push", "pull", "mount", "delete"};
    for (size_t i = 0; i < RS_COUNT(known); i++)
        if (strcmp(z, known[i]) == 0)
            return true;
    return false;
}

static void check_actions(struct config_load *l, const struct rs_yaml *item, const char *path)
{
    const struct rs_yaml *actions = rs_yaml_get(rs_yaml_get(item, "ignore"), "actions");
    if (rs_yaml_is_null(actions) || actions->kind == RS_YAML_MAP)
        return;
    struct rs_config_list list = config_value_list(l->arena, actions);
    for (size_t i = 0; i < list.count; i++)
        if (!is_action(list.items[i]))
            config_warn(l, actions, path, "ignores an action that there is not; there are push, pull, mount, delete");
}

void config_rules_notifications(struct config_load *l)
{
    const struct rs_yaml *list = config_node(l->root, "notifications.endpoints");
    size_t count = 0;
    bool disabled;
    if (list == NULL || list->kind != RS_YAML_LIST)
        return;
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next, count++) {
        const struct rs_yaml *off = rs_yaml_get(item, "disabled");
        const char *path = rs_arena_printf(l->arena, "notifications.endpoints[%zu]", count).ptr;
        if (item->kind != RS_YAML_MAP || (off != NULL && rs_yaml_bool(off, &disabled) && disabled))
            continue;
        check_name(l, list, item, path);
        check_url(l, item, path);
        check_actions(l, item, path);
        config_check_headers(l, rs_yaml_get(item, "headers"), path);
    }
    if (count > RS_CONFIG_ENDPOINTS_MAX)
        config_error(l, list, "notifications.endpoints", "has %zu entries; at most %d are allowed", count,
                     RS_CONFIG_ENDPOINTS_MAX);
}
