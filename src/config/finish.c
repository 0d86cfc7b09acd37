/* SPDX-License-Identifier: Apache-2.0 */
/* The values of the snapshot that follow from several keys, or are lists of structures. */
#include "config/address.h"
#include "config/config_priv.h"

static void finish_level(struct config_load *l)
{
    const struct rs_yaml *old = config_node(l->root, "loglevel");
    if (rs_yaml_is_null(old) || !rs_yaml_is_null(config_node(l->root, "log.level")))
        return;
    struct rs_err ignored; /* it was checked under its own name */
    RS_ASSERT(config_value_read(l->arena, config_key_find("log.level"), old, l->config, &ignored) == RS_OK);
}

static void finish_fields(struct config_load *l)
{
    const struct rs_yaml *map = config_node(l->root, "log.fields");
    if (rs_yaml_is_null(map) || map->count == 0)
        return;
    struct rs_log_field *fields = rs_arena_zalloc(l->arena, map->count * sizeof *fields);
    size_t count = 0;
    for (const struct rs_yaml *n = map->first; n != NULL; n = n->next)
        if (n->kind == RS_YAML_SCALAR)
            fields[count++] = RS_LOG_STR(rs_arena_z(l->arena, n->key), rs_arena_copy(l->arena, n->text));
    l->config->log.fields = fields;
    l->config->log.field_count = count;
}

/* Lists of strings as in an HTTP header's values. */
static struct rs_config_list values_in_place(struct rs_arena *arena, const struct rs_yaml *node)
{
    struct rs_config_list list = config_value_list(arena, node);
    size_t i = 0;
    if (node->kind != RS_YAML_LIST && list.count > 0)
        list.items[0] = node->text.ptr;
    for (const struct rs_yaml *n = node->kind == RS_YAML_LIST ? node->first : NULL; n != NULL; n = n->next)
        list.items[i++] = n->text.ptr;
    return list;
}
const struct rs_config_header *config_headers_read(struct rs_arena *arena, const struct rs_yaml *map, size_t *out_count)
{
    *out_count = 0;
    if (rs_yaml_is_null(map) || map->count == 0)
        return NULL;
    struct rs_config_header *headers = rs_arena_zalloc(arena, map->count * sizeof *headers);
    for (const struct rs_yaml *n = map->first; n != NULL; n = n->next, ++*out_count) {
        headers[*out_count].name = rs_arena_z(arena, n->key);
        headers[*out_count].values = values_in_place(arena, n);
    }
    return headers;
}

static struct rs_config_list joined(struct rs_arena *arena, struct rs_config_list a, struct rs_config_list b)
{
    struct rs_config_list all = {rs_arena_alloc(arena, (a.count + b.count + 1) * sizeof *all.items), 0};
    for (size_t i = 0; i < a.count; i++)
        all.items[all.count++] = a.items[i];
    for (size_t i = 0; i < b.count; i++)
        all.items[all.count++] = b.items[i];
    return all;
}

/* What is 0 is registry:2's default there as well. */
static bool finish_endpoint(struct config_load *l, const struct rs_yaml *item, struct rs_config_endpoint *out)
{
    const struct rs_yaml *ignore = rs_yaml_get(item, "ignore");
    struct rs_config_list types = {0};
    struct rs_config_list more = {0};
    bool disabled = false;
    config_item_read(l, item, "notifications.endpoints[].disabled", &disabled);
    if (disabled)
        return false;
    config_item_read(l, item, "notifications.endpoints[].name", &out->name);
    config_item_read(l, item, "notifications.endpoints[].url", &out->url);
    config_item_read(l, item, "notifications.endpoints[].timeout", &out->timeout_ms);
    config_item_read(l, item, "notifications.endpoints[].threshold", &out->threshold);
    config_item_read(l, item, "notifications.endpoints[].backoff", &out->backoff_ms);
    config_item_read(l, item, "notifications.endpoints[].ignoredmediatypes", &types);
    config_item_read(l, ignore, "notifications.endpoints[].ignore.mediatypes", &more);
    config_item_read(l, ignore, "notifications.endpoints[].ignore.actions", &out->ignored_actions);
    out->ignored_types = joined(l->arena, types, more);
    out->headers = config_headers_read(l->arena, rs_yaml_get(item, "headers"), &out->header_count);
    out->timeout_ms = out->timeout_ms > 0 ? out->timeout_ms : 1000;
    out->backoff_ms = out->backoff_ms > 0 ? out->backoff_ms : 1000;
    out->threshold = out->threshold > 0 ? out->threshold : 10;
    return true;
}

static void finish_notifications(struct config_load *l)
{
    struct rs_config_notifications *n = &l->config->notifications;
    const struct rs_yaml *list = config_node(l->root, "notifications.endpoints");
    if (rs_yaml_is_null(list))
        return;
    struct rs_config_endpoint *endpoints = rs_arena_zalloc(l->arena, (list->count + 1) * sizeof *endpoints);
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next)
        n->endpoint_count += finish_endpoint(l, item, &endpoints[n->endpoint_count]) ? 1 : 0;
    n->endpoints = endpoints;
}

#define CHECK_MS_DEFAULT 10000
#define CHECK_MS_MIN 100
#define CHECK_TIMEOUT_MS_DEFAULT 5000

static void complete_check(struct rs_config_check *check)
{
    check->interval_ms = check->interval_ms > 0 ? RS_MAX(check->interval_ms, CHECK_MS_MIN) : CHECK_MS_DEFAULT;
    check->timeout_ms = check->timeout_ms > 0 ? check->timeout_ms : CHECK_TIMEOUT_MS_DEFAULT;
    check->threshold = RS_MAX(check->threshold, 1);
    check->status = check->status > 0 ? check->status : 200;
}

static void finish_check(struct config_load *l, const struct rs_yaml *item, struct rs_config_check *out)
{
    switch (out->kind) {
    case RS_CONFIG_CHECK_FILE:
        config_item_read(l, item, "health.file[].file", &out->target);
        config_item_read(l, item, "health.file[].interval", &out->interval_ms);
        config_item_read(l, item, "health.file[].threshold", &out->threshold);
        break;
    case RS_CONFIG_CHECK_HTTP:
        config_item_read(l, item, "health.http[].uri", &out->target);
        config_item_read(l, item, "health.http[].statuscode", &out->status);
        config_item_read(l, item, "health.http[].timeout", &out->timeout_ms);
        config_item_read(l, item, "health.http[].interval", &out->interval_ms);
        config_item_read(l, item, "health.http[].threshold", &out->threshold);
        out->headers = config_headers_read(l->arena, rs_yaml_get(item, "headers"), &out->header_count);
        break;
    case RS_CONFIG_CHECK_TCP:
        config_item_read(l, item, "health.tcp[].addr", &out->target);
        config_item_read(l, item, "health.tcp[].timeout", &out->timeout_ms);
        config_item_read(l, item, "health.tcp[].interval", &out->interval_ms);
        config_item_read(l, item, "health.tcp[].threshold", &out->threshold);
        break;
    case RS_CONFIG_CHECK_STORAGE:
        out->interval_ms = l->config->health.storage_interval_ms;
        out->threshold = l->config->health.storage_threshold;
        out->target = "";
        break;
    }
    complete_check(out);
}

static void finish_health(struct config_load *l)
{
    static const struct {
        const char *path;
        enum rs_config_check_kind kind;
    } lists[] = {{"health.file", RS_CONFIG_CHECK_FILE},
                 {"health.http", RS_CONFIG_CHECK_HTTP},
                 {"health.tcp", RS_CONFIG_CHECK_TCP}};
    struct rs_config_health *health = &l->config->health;
    struct rs_config_check *checks = rs_arena_zalloc(l->arena, RS_CONFIG_CHECKS_MAX * sizeof *checks);
    size_t count = 0;
    if (health->storage_enabled)
        finish_check(l, NULL, &checks[count++]);
    for (size_t i = 0; i < RS_COUNT(lists); i++) {
        const struct rs_yaml *list = config_node(l->root, lists[i].path);
        for (const struct rs_yaml *n = rs_yaml_is_null(list) ? NULL : list->first; n != NULL; n = n->next) {
            checks[count].kind = lists[i].kind;
            finish_check(l, n, &checks[count++]);
        }
    }
    health->checks = checks;
    health->check_count = count;
}

static void finish_listen(struct config_load *l)
{
    struct rs_config_http *http = &l->config->http;
    struct rs_config_listen *listen = rs_arena_zalloc(l->arena, (http->extra.count + 1) * sizeof *listen);
    listen[0] = (struct rs_config_listen){http->net == RS_CONFIG_UNIX ? "unix" : "tcp", http->addr};
    for (size_t i = 0; i < http->extra.count; i++)
        RS_ASSERT(config_address_parse(http->extra.items[i], &listen[i + 1]) == NULL);
    http->listen = listen;
    http->listen_count = http->extra.count + 1;
}

static const char *without_slashes(struct config_load *l, const char *z)
{
    rs_str s = rs_str_c(z);
    while (s.len > 0 && s.ptr[s.len - 1] == '/')
        s.len--;
    return rs_arena_z(l->arena, s);
}

void config_finish(struct config_load *l)
{
    struct rs_config *config = l->config;
    bool in_memory = config_node(l->root, "storage.inmemory") != NULL; /* one driver stands there */
    config->storage.driver = in_memory ? RS_CONFIG_INMEMORY : RS_CONFIG_FILESYSTEM;
    finish_level(l);
    finish_fields(l);
    config->http.headers =
        config_headers_read(l->arena, config_node(l->root, "http.headers"), &config->http.header_count);
    finish_notifications(l);
    finish_health(l);
    config_finish_retention(l);
    finish_listen(l);
    config_finish_validation(l);
    config_finish_policy(l);
    config->http.host = without_slashes(l, config->http.host);
    config->http.prefix = without_slashes(l, config->http.prefix);
    if (config->log.access_disabled)
        config->log.access = RS_CONFIG_ACCESS_NONE;
    if (config->catalog_max_entries == 0)
        config->catalog_max_entries = 1000;
    if (config->tags_max_tags == 0)
        config->tags_max_tags = 1000;
}
