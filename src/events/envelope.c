/* SPDX-License-Identifier: Apache-2.0 */
/* Events as registry:2 writes them (docs.docker.com/registry/notifications): names, order, and what is left out. */
#include <sys/param.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "events/events_priv.h"

#define SOURCE_MAX 1024

const char *event_action_name(enum rs_event_action action)
{
    static const char *const names[] = {
        [RS_EVENT_PUSH] = "push", [RS_EVENT_PULL] = "pull", [RS_EVENT_MOUNT] = "mount", [RS_EVENT_DELETE] = "delete"};

    return names[action];
}

/* A member, with a comma before it unless it is the first of its object. */
static void name(struct rs_buf *out, const char *key)
{
    if (out->len > 0 && out->ptr[out->len - 1] != '{')
        rs_buf_add_char(out, ',');
    rs_buf_printf(out, "\"%s\":", key);
}

static void text(struct rs_buf *out, const char *key, rs_str value)
{
    name(out, key);
    rs_json_quote(out, value);
}

static void text_if(struct rs_buf *out, const char *key, rs_str value)
{
    if (value.len > 0)
        text(out, key, value);
}

static void number_if(struct rs_buf *out, const char *key, uint64_t value)
{
    if (value == 0)
        return;
    name(out, key);
    rs_buf_printf(out, "%llu", (unsigned long long)value);
}

static void reference(struct rs_buf *out, const struct rs_event_reference *r)
{
    rs_buf_add_char(out, '{');
    text_if(out, "mediaType", r->media_type);
    number_if(out, "size", r->size);
    text_if(out, "digest", r->digest);
    if (r->url_count > 0) {
        name(out, "urls");
        for (size_t i = 0; i < r->url_count; i++) {
            rs_buf_add_char(out, i == 0 ? '[' : ',');
            rs_json_quote(out, r->urls[i]);
        }
        rs_buf_add_char(out, ']');
    }
    if (r->annotations.len > 0) {
        name(out, "annotations");
        rs_buf_add(out, r->annotations);
    }
    rs_buf_add_char(out, '}');
}

static void references(struct rs_buf *out, const struct rs_event *event)
{
    if (event->reference_count == 0)
        return;
    name(out, "references");
    for (size_t i = 0; i < event->reference_count; i++) {
        rs_buf_add_char(out, i == 0 ? '[' : ',');
        reference(out, &event->references[i]);
    }
    rs_buf_add_char(out, ']');
}

/* "length" is the old name of "size". */
static void target(struct rs_buf *out, const struct rs_event *event)
{
    name(out, "target");
    rs_buf_add_char(out, '{');
    text_if(out, "mediaType", event->media_type);
    number_if(out, "size", event->size);
    text_if(out, "digest", event->digest);
    number_if(out, "length", event->size);
    text(out, "repository", event->repository);
    text_if(out, "fromRepository", event->from_repository);
    text_if(out, "url", event->url);
    text_if(out, "tag", event->tag);
    references(out, event);
    rs_buf_add_char(out, '}');
}

static void request(struct rs_buf *out, const struct rs_event *event)
{
    name(out, "request");
    rs_buf_add_char(out, '{');
    text(out, "id", event->request_id);
    text(out, "addr", event->request_addr);
    text_if(out, "host", event->request_host);
    text(out, "method", event->request_method);
    text(out, "useragent", event->request_useragent);
    rs_buf_add_char(out, '}');
}

void event_json(struct rs_buf *out, const struct rs_event *event, const char *source)
{
    char id[RS_UUID_SIZE];
    char when[RS_RFC3339_SIZE];
    struct timespec now;

    rs_uuid4(id);
    clock_gettime(CLOCK_REALTIME, &now);
    rs_rfc3339_ns(&now, when);
    rs_buf_add_char(out, '{');
    text(out, "id", rs_str_c(id));
    text(out, "timestamp", rs_str_c(when));
    text(out, "action", rs_str_c(event_action_name(event->action)));
    target(out, event);
    request(out, event);
    name(out, "actor");
    rs_buf_add_char(out, '{');
    text_if(out, "name", event->actor);
    rs_buf_add_c(out, "}");
    name(out, "source");
    rs_buf_add_c(out, source);
    rs_buf_add_char(out, '}');
}

char *event_source(const char *listen_address)
{
    RS_AUTO(rs_buf_release) struct rs_buf out;
    char host[MAXHOSTNAMELEN + 1] = "";
    char address[MAXHOSTNAMELEN + 8];
    char id[RS_UUID_SIZE];
    rs_str listen = rs_str_c(listen_address);
    size_t colon;

    gethostname(host, sizeof host - 1);
    bool has_port = rs_str_rfind(listen, ':', &colon);
    snprintf(address, sizeof address, "%s" RS_STR_FMT, host,
             RS_STR_ARG(rs_str_from(listen, has_port ? colon : listen.len)));
    rs_uuid4(id);
    rs_buf_init(&out, SOURCE_MAX);
    rs_buf_add_char(&out, '{');
    text(&out, "addr", rs_str_c(address));
    text(&out, "instanceID", rs_str_c(id));
    rs_buf_add_char(&out, '}');
    return rs_str_dup(rs_buf_str(&out));
}
