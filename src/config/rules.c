/* SPDX-License-Identifier: Apache-2.0 */
/* What the table cannot say: rules between keys, and the form of addresses, names and headers. */
#include "base/net.h"
#include "config/address.h"
#include "config/config_priv.h"

static void rule_version(struct config_load *l)
{
    const struct rs_yaml *version = config_node(l->root, "version");
    if (rs_yaml_is_null(version))
        config_error(l, version, "version", "is missing; the first line of the file should be \"version: 0.1\"");
    else if (version->kind != RS_YAML_SCALAR || !rs_str_eq_c(version->text, "0.1"))
        config_error(l, version, "version", "only version 0.1 is known");
}

/* Everything directly under `storage` that is no option is a driver, known or not. */
static bool is_driver(rs_str name)
{
    static const char *const options[] = {"maintenance", "cache", "delete", "redirect", "tag"};
    for (size_t i = 0; i < RS_COUNT(options); i++)
        if (rs_str_eq_c(name, options[i]))
            return false;
    return true;
}

static void rule_driver(struct config_load *l)
{
    const struct rs_yaml *storage = config_node(l->root, "storage");
    size_t drivers = 0;
    if (storage != NULL && storage->kind != RS_YAML_MAP && !rs_yaml_is_null(storage))
        return; /* reported as no section */
    for (const struct rs_yaml *n = storage != NULL ? storage->first : NULL; n != NULL; n = n->next)
        if (is_driver(n->key) && drivers++ > 0)
            config_error(l, n, "storage", "has a second driver; exactly one may stand here");
    if (drivers == 0)
        config_error(l, storage, "storage", "needs a driver, for example \"filesystem\" with its \"rootdirectory\"");
}

static void need(struct config_load *l, const char *path, const char *name, const char *form)
{
    const struct rs_yaml *section = config_node(l->root, path);
    if (section != NULL && (section->kind == RS_YAML_MAP || rs_yaml_is_null(section)) &&
        rs_yaml_is_null(rs_yaml_get(section, name)))
        config_error(l, section, path, "needs \"%s\" (%s) where it stands", name, form);
}

static void rule_purging(struct config_load *l)
{
    const char *path = "storage.maintenance.uploadpurging";
    const struct rs_yaml *section = config_node(l->root, path);
    bool enabled = true;
    if (section == NULL)
        return;
    const struct rs_yaml *node = rs_yaml_get(section, "enabled");
    if (node != NULL && rs_yaml_bool(node, &enabled) && !enabled)
        return;
    need(l, path, "age", "a time such as 168h");
    need(l, path, "interval", "a time such as 24h");
    need(l, path, "dryrun", "true or false");
}

static void rule_cache(struct config_load *l)
{
    static const char *const names[] = {"storage.cache.blobdescriptor", "storage.cache.layerinfo"};
    for (size_t i = 0; i < RS_COUNT(names); i++) {
        const struct rs_yaml *node = config_node(l->root, names[i]);
        if (rs_yaml_is_null(node) || node->kind != RS_YAML_SCALAR)
            continue;
        if (!rs_str_eq_c(node->text, "inmemory") && !rs_str_eq_c(node->text, "none"))
            config_warn(l, node, names[i], "only inmemory and none are known; manifests are cached in memory");
    }
}

static void rule_addresses(struct config_load *l)
{
    struct rs_config_listen listen;
    const struct rs_yaml *node = config_node(l->root, "http.addr");
    const char *wrong = config_address_check(l->config->http.net, l->config->http.addr);
    if (wrong != NULL)
        config_error(l, node, "http.addr", "%s", wrong);
    node = config_node(l->root, "roadstead.http.listen");
    for (size_t i = 0; i < l->config->http.extra.count; i++) {
        wrong = config_address_parse(l->config->http.extra.items[i], &listen);
        if (wrong != NULL)
            config_error(l, node, "roadstead.http.listen", "entry %zu: %s", i + 1, wrong);
    }
}

static void rule_proxies(struct config_load *l)
{
    const char *key = "roadstead.http.trusted_proxies";
    const struct rs_config_list *list = &l->config->http.trusted_proxies;
    struct rs_network network;
    for (size_t i = 0; i < list->count; i++) {
        const char *wrong = rs_network_parse(rs_str_c(list->items[i]), &network);
        if (wrong != NULL && strcmp(list->items[i], "unix") != 0)
            config_error(l, config_node(l->root, key), key, "entry %zu %s", i + 1, wrong);
    }
}

/* These go into headers. */
static bool is_printable(const char *z)
{
    for (; *z != '\0'; z++)
        if (*z <= ' ' || *z > '~')
            return false;
    return true;
}

static void rule_urls(struct config_load *l)
{
    rs_str host = rs_str_c(l->config->http.host);
    const char *prefix = l->config->http.prefix;
    bool is_url = rs_str_starts(host, RS_STR("http://")) || rs_str_starts(host, RS_STR("https://"));
    if (host.len > 0 && (!is_url || !is_printable(host.ptr)))
        config_error(l, config_node(l->root, "http.host"), "http.host",
                     "needs an address with its scheme, such as https://registry.example.org");
    if (prefix[0] != '\0' && (prefix[0] != '/' || !is_printable(prefix) || strchr(prefix, '*') != NULL))
        config_error(l, config_node(l->root, "http.prefix"), "http.prefix", "needs a path such as /images/");
}

static bool is_token(rs_str s)
{
    static const char extra[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && strchr(extra, c) == NULL)
            return false;
    }
    return s.len > 0;
}

static bool is_header_value(const char *z)
{
    for (; *z != '\0'; z++)
        if (((unsigned char)*z < ' ' && *z != '\t') || *z == 0x7f)
            return false;
    return true;
}

/* Headers that the server makes itself: a second one would break the framing of messages. */
static bool is_own_header(rs_str name)
{
    static const char *const own[] = {"Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"};
    for (size_t i = 0; i < RS_COUNT(own); i++)
        if (rs_str_eq_nocase(name, rs_str_c(own[i])))
            return true;
    return false;
}

void config_check_headers(struct config_load *l, const struct rs_yaml *headers, const char *path)
{
    if (headers == NULL || headers->kind != RS_YAML_MAP)
        return;
    for (const struct rs_yaml *n = headers->first; n != NULL; n = n->next) {
        if (!is_token(n->key))
            config_error(l, n, path, "the name of a header holds letters, digits and hyphens");
        else if (is_own_header(n->key))
            config_error(l, n, path, RS_STR_FMT " is the server's own", RS_STR_ARG(n->key));
        if (n->kind == RS_YAML_MAP)
            continue;
        struct rs_config_list values = config_value_list(l->arena, n);
        for (size_t i = 0; i < values.count; i++)
            if (!is_header_value(values.items[i]))
                config_error(l, n, path, "a value with control characters or line ends");
    }
}

static void rule_fields(struct config_load *l)
{
    const struct rs_yaml *fields = config_node(l->root, "log.fields");
    if (fields == NULL || fields->kind != RS_YAML_MAP)
        return;
    for (const struct rs_yaml *n = fields->first; n != NULL; n = n->next)
        if (n->kind != RS_YAML_SCALAR)
            config_warn(l, n, "log.fields", "a field that is no plain value is left out");
}

static void rule_secret(struct config_load *l)
{
    const struct rs_yaml *node = config_node(l->root, "http.secret");
    if (node != NULL && node->kind == RS_YAML_SCALAR && rs_str_eq_c(node->text, "***"))
        config_warn(l, node, "http.secret", "*** is what config check shows in place of a secret, and no secret");
}

static void rule_workers(struct config_load *l)
{
    const char *key = "roadstead.http.reserved_workers";
    const struct rs_yaml *node = config_node(l->root, key);
    if (l->config->http.reserved_workers < l->config->http.max_workers)
        return;
    if (node == NULL)
        node = config_node(l->root, "roadstead.http.max_workers");
    config_error(l, node, key, "%llu must be less than max_workers, which is %llu",
                 (unsigned long long)l->config->http.reserved_workers, (unsigned long long)l->config->http.max_workers);
}

void config_rules(struct config_load *l)
{
    rule_version(l);
    rule_driver(l);
    need(l, "storage.redirect", "disable", "true or false");
    need(l, "storage.maintenance.readonly", "enabled", "true or false");
    rule_purging(l);
    rule_cache(l);
    rule_addresses(l);
    rule_proxies(l);
    rule_urls(l);
    config_check_headers(l, config_node(l->root, "http.headers"), "http.headers");
    rule_fields(l);
    rule_secret(l);
    rule_workers(l);
    config_rules_notifications(l);
    config_rules_validation(l);
    config_rules_health(l);
    config_rules_retention(l);
    config_rules_policy(l);
}
