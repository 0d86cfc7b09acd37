/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the events of registry:2, at the moments at which it tells them: when the work is done and the answer is not
 * sent yet. A HEAD is a pull as well; a manifest that is answered with 304 is none, a blob that is answered so is one.
 */
#include "events/events.h"

#include "api/api_priv.h"
#include "oci/manifest.h"

static struct rs_event start(const struct rs_request *req, enum rs_event_action action)
{
    struct rs_event event = {
        .action = action,
        .repository = req->captures[0],
        .request_id = req->id,
        .request_addr = req->remote,
        .request_host = req->host,
        .request_method = req->method_name,
    };

    rs_request_header(req, RS_STR("User-Agent"), &event.request_useragent);
    return event;
}

static void add_references(struct rs_request *req, const struct rs_manifest *manifest, struct rs_event *event)
{
    struct rs_event_reference *references =
        rs_arena_alloc(req->arena, (manifest->descriptor_count + 1) * sizeof *references);

    for (size_t i = 0; i < manifest->descriptor_count; i++) {
        const struct rs_descriptor *d = &manifest->descriptors[i];
        references[i] = (struct rs_event_reference){
            d->media_type, rs_digest_str(&d->digest), d->size, d->urls, d->url_count, d->annotations};
    }
    event->references = references;
    event->reference_count = manifest->descriptor_count;
}

void rs_api_event_manifest(const struct rs_api *api, struct rs_request *req, enum rs_event_action action,
                           const struct rs_api_manifest_event *told)
{
    struct rs_event event = start(req, action);
    const bool references = rs_events_want_references(api->events);
    struct rs_manifest manifest;

    event.media_type = told->media_type;
    if (action == RS_EVENT_PUSH || references) {
        rs_request_block(req); /* a pull has no worker yet: reading a manifest of some MiB takes its time */
        if (rs_manifest_parse(told->bytes, told->media_type, req->arena, &manifest, NULL) == RS_OK) {
            event.media_type = manifest.media_type;
            if (references)
                add_references(req, &manifest, &event);
        }
    }
    event.size = told->bytes.len;
    event.digest = rs_digest_str(told->digest);
    event.tag = told->tag;
    event.url = rs_api_url(api, req,
                           rs_arena_printf(req->arena, "/v2/" RS_STR_FMT "/manifests/%s", RS_STR_ARG(event.repository),
                                           told->digest->text));
    rs_events_emit(api->events, &event);
}

void rs_api_event_blob(const struct rs_api *api, struct rs_request *req, enum rs_event_action action,
                       const struct rs_digest *digest, uint64_t size, rs_str from)
{
    if (!rs_events_wanted(api->events, action, RS_STR(RS_API_BLOB_TYPE)))
        return;
    struct rs_event event = start(req, action);
    event.media_type = RS_STR(RS_API_BLOB_TYPE);
    event.size = size;
    event.digest = rs_digest_str(digest);
    event.from_repository = from;
    event.url = rs_api_url(
        api, req,
        rs_arena_printf(req->arena, "/v2/" RS_STR_FMT "/blobs/%s", RS_STR_ARG(event.repository), digest->text));
    rs_events_emit(api->events, &event);
}

void rs_api_event_delete(const struct rs_api *api, struct rs_request *req, rs_str digest, rs_str tag)
{
    if (!rs_events_wanted(api->events, RS_EVENT_DELETE, (rs_str){0}))
        return;
    struct rs_event event = start(req, RS_EVENT_DELETE);
    event.digest = digest;
    event.tag = tag;
    rs_events_emit(api->events, &event);
}
