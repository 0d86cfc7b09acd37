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

static void finish_headers(struct config_load *l)
{
    const struct rs_yaml *map = config_node(l->root, "http.headers");
    if (rs_yaml_is_null(map) || map->count == 0)
        return;
    struct rs_config_header *headers = rs_arena_zalloc(l->arena, map->count * sizeof *headers);
    size_t count = 0;
    for (const struct rs_yaml *n = map->first; n != NULL; n = n->next, count++) {
        headers[count].name = rs_arena_z(l->arena, n->key);
        headers[count].values = config_value_list(l->arena, n);
    }
    l->config->http.headers = headers;
    l->config->http.header_count = count;
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
    finish_level(l);
    finish_fields(l);
    finish_headers(l);
    finish_listen(l);
    config->http.host = without_slashes(l, config->http.host);
    config->http.prefix = without_slashes(l, config->http.prefix);
    if (config->log.access_disabled)
        config->log.access = RS_CONFIG_ACCESS_NONE;
    if (config->catalog_max_entries == 0)
        config->catalog_max_entries = 1000;
    if (config->tags_max_tags == 0)
        config->tags_max_tags = 1000;
}
