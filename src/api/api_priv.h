/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of src/api share. */
#pragma once

#include <stdatomic.h>

#include "api/api.h"
#include "oci/digest.h"

struct rs_api {
    const struct rs_config *config;
    struct rs_registry *registry;
    struct rs_events *events; /* NULL: nobody wants to know */
    struct rs_health *health; /* NULL: nothing is checked */
    atomic_bool stopping;
    atomic_bool read_only;
    struct rs_route *routes; /* their patterns begin with http.prefix */
    size_t route_count;
    struct rs_api_cells *cells; /* measure.c's, of each route */
    struct rs_header *headers;  /* http.headers, one for each value */
    size_t header_count;
    struct rs_arena *arena; /* of what is above */
};

/* Handlers, by resource: base.c, blob.c, upload.c, manifest.c, tags.c, catalog.c, search.c. */
rs_handler rs_api_health;
rs_handler rs_api_root, rs_api_base, rs_api_base_redirect;
rs_handler rs_api_blob_get, rs_api_blob_delete;
rs_handler rs_api_upload_post, rs_api_upload_get, rs_api_upload_patch, rs_api_upload_put, rs_api_upload_delete;
rs_handler rs_api_manifest_get, rs_api_manifest_put, rs_api_manifest_delete;
rs_handler rs_api_tags_get, rs_api_catalog_get, rs_api_referrers_get, rs_api_search_get;

/* --- common.c: what most handlers begin with --- */
/* Checks the repository's name (the first capture) and notes it for the log. RS_E_NAME_INVALID. */
rs_rc rs_api_repository(struct rs_request *req, struct rs_err *err);
/* Parses a digest and notes it for the log. RS_E_DIGEST_INVALID. */
rs_rc rs_api_digest(struct rs_request *req, rs_str text, struct rs_digest *out, struct rs_err *err);
/* RS_E_UNSUPPORTED in read-only mode. */
rs_rc rs_api_writable(const struct rs_api *api, struct rs_err *err);
/* RS_E_UNSUPPORTED in read-only mode, or where nothing may be deleted. */
rs_rc rs_api_may_delete(const struct rs_api *api, struct rs_err *err);
/* Sets Docker-Content-Digest, and Etag when with_etag. */
void rs_api_digest_headers(struct rs_request *req, const struct rs_digest *digest, bool with_etag);
/* Does If-None-Match name this digest? Quotes are optional, as with registry:2. */
bool rs_api_not_modified(const struct rs_request *req, const struct rs_digest *digest);
bool rs_etag_list_has(rs_str list, rs_str etag);

/* --- accept.c: which manifests a client takes --- */
/* Whether the fields Accept of the request allow this media type; true without any. */
bool rs_accepts(const struct rs_request *req, rs_str media_type);
struct rs_manifest_doc;
/* What to send of what a tag points to: replaces *doc (and unrefs it), or refuses with RS_E_MANIFEST_UNKNOWN. Sets Vary
 * where that depended on Accept. */
rs_rc rs_accept_choose(const struct rs_api *api, struct rs_request *req, const struct rs_manifest_doc **doc,
                       struct rs_err *err);

/* --- condition.c: If-Match and If-None-Match of a push --- */
struct rs_condition {
    bool has_match;
    bool has_none_match;
    rs_str match; /* the lists, of all fields of the name */
    rs_str none_match;
    bool exists; /* what it was last held against */
    struct rs_digest held;
};
void rs_condition_read(const struct rs_request *req, struct rs_condition *out);
bool rs_condition_given(const struct rs_condition *condition);
/* ctx: a struct rs_condition; as rs_manifest_put.accept. */
bool rs_condition_holds(void *ctx, const struct rs_digest *held);
/* RS_E_PRECONDITION, with what the reference is now in text and headers. */
rs_rc rs_condition_failed(struct rs_request *req, const struct rs_condition *condition, rs_str reference,
                          struct rs_err *err);

/* --- event.c: notifications. Without an endpoint these cost next to nothing --- */
#define RS_API_BLOB_TYPE "application/octet-stream" /* what events say of every blob, as registry:2's do */
struct rs_api_manifest_event {
    const struct rs_digest *digest;
    rs_str media_type; /* of a push: the client's Content-Type */
    rs_str bytes;
    rs_str tag; /* of the request; empty: it was by digest */
};
/* Only where api->events is not NULL; may make the request a worker's. */
void rs_api_event_manifest(const struct rs_api *api, struct rs_request *req, enum rs_event_action action,
                           const struct rs_api_manifest_event *told);
/* from: of a mount, else empty. */
void rs_api_event_blob(const struct rs_api *api, struct rs_request *req, enum rs_event_action action,
                       const struct rs_digest *digest, uint64_t size, rs_str from);
/* A manifest or blob by its digest, or a tag; the other one is empty. */
void rs_api_event_delete(const struct rs_api *api, struct rs_request *req, rs_str digest, rs_str tag);

/* --- location.c --- */
/* A path ("/v2/…") as the address that a client should use, in the arena. */
rs_str rs_api_url(const struct rs_api *api, struct rs_request *req, rs_str path);
/* Sets Location to a path ("/v2/…"): behind http.host, or behind http.prefix at the address that the client used. */
void rs_api_location(const struct rs_api *api, struct rs_request *req, rs_str path);

/* --- error.c --- */
void rs_api_on_error(struct rs_request *req, void *ctx, rs_rc rc, const struct rs_err *err);
/* The specification's body: {"errors":[{"code","message","detail"}]}. An empty detail is left out. */
void rs_error_json(struct rs_buf *out, rs_rc rc, rs_str detail);

/* --- log.c --- */
void rs_api_on_done(const struct rs_request *req, void *ctx, uint64_t sent, int64_t us, bool complete);
/* Appends the line of Apache's combined format, with its newline. */
void rs_access_combined(struct rs_buf *out, const struct rs_request *req, uint64_t sent, int64_t wall_s);
/* Appends the request's target with the value of _state taken out. */
void rs_access_uri(struct rs_buf *out, rs_str target);
/* A duration as registry:2 writes it: "152µs", "3.204ms", "1.250s". */
void rs_access_duration(struct rs_buf *out, int64_t us);

/* --- health.c --- */
/* RS_E_UNAVAILABLE, with Retry-After, while a health check fails: for all but the route that tells of it. */
rs_rc rs_api_healthy(const struct rs_api *api, struct rs_request *req, struct rs_err *err);

/* --- measure.c --- */
void rs_api_measure_routes(struct rs_api *api); /* once the routes are made */
void rs_api_measure_state(struct rs_api *api);  /* until rs_metrics_forget(api) */
void rs_api_measure_begin(const struct rs_api *api, const struct rs_request *req);
void rs_api_measure_end(const struct rs_api *api, const struct rs_request *req, uint64_t sent, int64_t us,
                        bool complete);

/* --- content_range.c: Content-Range of an upload's chunk --- */
struct rs_content_range {
    bool present;
    uint64_t first;
    uint64_t last; /* inclusive */
};
/* "<first>-<last>", or "bytes <first>-<last>/<size or *>". RS_E_BLOB_UPLOAD_INVALID. */
rs_rc rs_content_range_parse(rs_str text, struct rs_content_range *out, struct rs_err *err);
uint64_t rs_content_range_length(const struct rs_content_range *range);

/* --- upload_state.c: registry:2's _state parameter --- */
struct rs_upload_state {
    rs_str name;
    rs_str uuid;
    uint64_t offset;
    int64_t started_s;
};
/* Appends the value, escaped for a query: a registry:2 with the same http.secret can go on with the upload. */
void rs_upload_state_encode(struct rs_buf *out, rs_str secret, const struct rs_upload_state *state);

/* --- page.c: n, last and Link --- */
struct rs_page_rule {
    uint64_t absent; /* n when the client names none */
    uint64_t max;
    bool clamp; /* a larger n becomes max; otherwise it is an error */
};
/* RS_E_PAGINATION_NUMBER_INVALID. */
rs_rc rs_page_number(rs_str text, const struct rs_page_rule *rule, uint64_t *out_n, struct rs_err *err);

/* A page under construction: an object whose last member is an array of names. */
#define RS_PAGE_BYTES_MAX (4 * 1024 * 1024) /* a page without n ends here, with a Link to the next */
struct rs_page {
    uint64_t n;
    uint64_t count;
    bool more;    /* there is a name beyond this page */
    rs_str after; /* the parameter "last" */
    struct rs_buf json;
    struct rs_buf last; /* the last name on this page */
};
void rs_page_init(struct rs_page *page);
void rs_page_release(struct rs_page *page);
/* Reads n and last. */
rs_rc rs_page_begin(struct rs_request *req, const struct rs_page_rule *rule, struct rs_page *page, struct rs_err *err);
/* An rs_registry_visit: adds a name; false when the page is full. */
bool rs_page_add(void *page, rs_str name);
/* Closes array and object and answers with them; sets Link if there is more. link_n: the n to name there. */
void rs_page_reply(struct rs_request *req, struct rs_page *page, uint64_t link_n);
/* Appends s, percent-encoded for a query. */
void rs_query_escape(struct rs_buf *out, rs_str s);
