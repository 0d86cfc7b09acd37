/* SPDX-License-Identifier: Apache-2.0 */
/* Making an endpoint of its configuration, and the queue that belongs to it. */
#include <limits.h>

#include "base/hash.h"
#include "base/mem.h"
#include "events/events_priv.h"
#include "events/record.h"

#define NAME_SHOWN 64
#define HASH_SHOWN 4 /* bytes */
#define ORIGIN_MAX 512

#define MEDIA_TYPE "application/vnd.docker.distribution.events.v1+json" /* registry:2's; its version 3 says v2 */

static unsigned ignored_actions(const struct rs_config_list *names)
{
    unsigned bits = 0;

    for (size_t i = 0; i < names->count; i++)
        for (unsigned action = 0; action < RS_EVENT_ACTIONS; action++)
            if (strcmp(names->items[i], event_action_name(action)) == 0)
                bits |= 1u << action;
    return bits;
}

/* The configured ones; a Content-Type among them takes the place of ours. */
static void make_headers(struct endpoint *e)
{
    const struct rs_config_endpoint *config = e->config;
    bool typed = false;
    size_t max = 1;

    for (size_t i = 0; i < config->header_count; i++)
        max += config->headers[i].values.count;
    e->headers = rs_calloc(max, sizeof *e->headers);
    for (size_t i = 0; i < config->header_count; i++) {
        const struct rs_config_header *header = &config->headers[i];
        typed |= rs_str_eq_nocase(rs_str_c(header->name), RS_STR("Content-Type"));
        for (size_t j = 0; j < header->values.count; j++)
            e->headers[e->header_count++] = (struct rs_client_header){header->name, header->values.items[j]};
    }
    if (!typed)
        e->headers[e->header_count++] = (struct rs_client_header){"Content-Type", MEDIA_TYPE};
}

/* Of several with one name, how many stand before. */
static size_t namesakes(const struct rs_config_notifications *config, size_t index)
{
    size_t count = 0;

    for (size_t i = 0; i < index; i++)
        count += strcmp(config->endpoints[i].name, config->endpoints[index].name) == 0 ? 1 : 0;
    return count;
}

/* A directory's name that people recognise, and that is this name's alone: "hooks-1a2b3c4d". */
static void directory_name(struct rs_buf *out, const char *name, size_t before)
{
    uint8_t hash[RS_HASH_MAX];
    char hex[2 * HASH_SHOWN + 1];

    for (size_t i = 0; name[i] != '\0' && i < NAME_SHOWN; i++) {
        char c = name[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        rs_buf_add_char(out, plain ? c : '_');
    }
    rs_hash_once(RS_SHA256, name, strlen(name), hash);
    rs_hex_encode(hash, HASH_SHOWN, hex);
    rs_buf_printf(out, "-%s", hex);
    if (before > 0)
        rs_buf_printf(out, "-%zu", before + 1);
}

static rs_rc open_spool(struct endpoint *e, const struct rs_config_notifications *config, size_t before,
                        const char *directory, struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf path;

    rs_buf_init(&path, PATH_MAX - 32);
    rs_buf_printf(&path, "%s/", directory);
    directory_name(&path, e->config->name, before);
    if (path.overflow)
        return rs_err_set(err, RS_E_CONFIG, "the path of the state directory is too long: %s", directory);
    e->is_open = true;
    return spool_open(&e->spool, rs_buf_z(&path), config->queue_size, err);
}

rs_rc endpoint_init(struct endpoint *e, const struct rs_config_notifications *config, size_t index,
                    const char *directory, struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf origin;

    rs_buf_init(&origin, ORIGIN_MAX);
    rs_buf_init(&e->writing, EVENTS_QUEUE_MAX);
    e->config = &config->endpoints[index];
    e->batch = config->batch;
    e->ignored_actions = ignored_actions(&e->config->ignored_actions);
    rs_buf_printf(&origin, "%zu", index + 1);
    e->name = rs_strdup(e->config->name[0] != '\0' ? e->config->name : rs_buf_z(&origin));
    e->label = rs_metrics_value(RS_LABEL_ENDPOINT, rs_str_c(e->name));
    rs_buf_clear(&origin);
    if (!rs_client_origin(e->config->url, &origin))
        return rs_err_set(err, RS_E_CONFIG, "notifications: the url of %s is no address", e->name);
    e->where = rs_str_dup(rs_buf_str(&origin));
    make_headers(e);
    return open_spool(e, config, namesakes(config, index), directory, err);
}

void endpoint_release(struct endpoint *e)
{
    if (e->is_open)
        spool_release(&e->spool);
    rs_buf_release(&e->writing);
    free(e->headers);
    rs_free_ptr(&e->where);
    rs_free_ptr(&e->name);
}
