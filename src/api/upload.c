/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploads: "/v2/<name>/blobs/uploads/" (distribution-spec 1.1, "Pushing blobs"). The storage is the truth of an
 * upload's offset: whatever goes wrong on the way, what has come is kept, and GET tells how much that is.
 */
#include "registry/upload.h"

#include "api/api_priv.h"
#include "oci/reference.h"
#include "registry/blob.h"

/* --- what a client is told --- */

static void tell_location(const struct rs_api *api, struct rs_request *req, rs_str uuid, uint64_t offset)
{
    RS_AUTO(rs_buf_release) struct rs_buf path;
    const struct rs_upload_state state = {req->captures[0], uuid, offset, rs_wall_s()};

    rs_buf_init(&path, 4096);
    rs_buf_printf(&path, "/v2/" RS_STR_FMT "/blobs/uploads/" RS_STR_FMT, RS_STR_ARG(req->captures[0]),
                  RS_STR_ARG(uuid));
    if (api->config->http.secret[0] != '\0') {
        rs_buf_add_c(&path, "?_state=");
        rs_upload_state_encode(&path, rs_str_c(api->config->http.secret), &state);
    }
    RS_ASSERT(!path.overflow); /* a name and a UUID are short */
    rs_api_location(api, req, rs_buf_str(&path));
}

/* Where the upload stands. Of an empty one registry:2 says "0-0" too. */
static void tell_progress(const struct rs_api *api, struct rs_request *req, rs_str uuid, uint64_t offset)
{
    tell_location(api, req, uuid, offset);
    rs_reply_header(req, "Docker-Upload-UUID", uuid);
    rs_reply_headerf(req, "Range", "0-%llu", (unsigned long long)(offset > 0 ? offset - 1 : 0));
}

/* 201: the blob is there. */
static rs_rc tell_blob(const struct rs_api *api, struct rs_request *req, const struct rs_digest *digest)
{
    req->reply.status = 201;
    rs_api_digest_headers(req, digest, false);
    rs_api_location(
        api, req,
        rs_arena_printf(req->arena, "/v2/" RS_STR_FMT "/blobs/%s", RS_STR_ARG(req->captures[0]), digest->text));
    return RS_OK;
}

/* The same after an upload: an event as well. */
static rs_rc tell_pushed(const struct rs_api *api, struct rs_request *req, const struct rs_digest *digest,
                         uint64_t size)
{
    rs_api_event_blob(api, req, RS_EVENT_PUSH, digest, size, (rs_str){0});
    return tell_blob(api, req, digest);
}

/* --- receiving --- */

static rs_rc read_range(const struct rs_request *req, struct rs_content_range *out, struct rs_err *err)
{
    rs_str text;

    *out = (struct rs_content_range){0};
    if (!rs_request_header(req, RS_STR("Content-Range"), &text))
        return RS_OK;
    RS_TRY(rs_content_range_parse(text, out, err));
    if (req->content_length >= 0 && (uint64_t)req->content_length != rs_content_range_length(out))
        return rs_err_set(err, RS_E_SIZE_INVALID, "Content-Range announces %llu bytes, Content-Length %lld",
                          (unsigned long long)rs_content_range_length(out), (long long)req->content_length);
    return RS_OK;
}

/* A chunked body may have more or fewer bytes than its Content-Range says: no byte beyond it is taken. */
static rs_rc receive(struct rs_request *req, struct rs_upload *upload, const struct rs_content_range *range,
                     struct rs_err *err)
{
    uint64_t left = range->present ? rs_content_range_length(range) : UINT64_MAX;
    size_t n = 0;

    do {
        size_t cap = RS_IO_BUFFER;
        void *buf = rs_upload_buffer(upload, &cap);
        if (buf == NULL)
            buf = rs_request_io_buffer(req);
        RS_TRY(rs_request_read(req, buf, cap, &n, err));
        RS_TRY(rs_upload_write(upload, buf, RS_MIN(n, left), err));
        if (n > left)
            return rs_err_set(err, RS_E_SIZE_INVALID, "the body is longer than its Content-Range");
        left -= n;
    } while (n > 0);
    if (range->present && left > 0)
        return rs_err_set(err, RS_E_SIZE_INVALID, "the body is %llu bytes shorter than its Content-Range",
                          (unsigned long long)left);
    return RS_OK;
}

/* What is sure to come. */
static uint64_t announced(const struct rs_request *req)
{
    return req->has_body && req->content_length > 0 ? (uint64_t)req->content_length : 0;
}

static rs_rc take_chunk(struct rs_request *req, struct rs_upload *upload, const struct rs_content_range *range,
                        const struct rs_digest *digest, struct rs_err *err)
{
    uint64_t offset = rs_upload_offset(upload);

    if (range->present && range->first != offset)
        return rs_err_set(err, RS_E_RANGE_INVALID, "the chunk begins at %llu, the upload stands at %llu",
                          (unsigned long long)range->first, (unsigned long long)offset);
    RS_TRY(rs_upload_announce(upload, digest, announced(req), err));
    return req->has_body ? receive(req, upload, range, err) : RS_OK;
}

/* Takes the upload of the path and adds the body to it. On RS_E_RANGE_INVALID, which another writer causes as well, the
 * client is told where the upload stands. digest: what the whole is to be, NULL if that is not known yet. *upload is
 * the caller's to end, also on an error. */
static rs_rc continue_upload(struct rs_api *api, struct rs_request *req, enum rs_hash_alg alg,
                             const struct rs_digest *digest, struct rs_upload **upload, struct rs_err *err)
{
    const rs_str name = req->captures[0], uuid = req->captures[1];
    struct rs_content_range range;
    uint64_t offset = 0;

    RS_TRY(read_range(req, &range, err));
    rs_rc rc = rs_upload_open(api->registry, name, uuid, alg, upload, err);
    if (rc == RS_OK)
        rc = take_chunk(req, *upload, &range, digest, err);
    if (rc == RS_E_RANGE_INVALID && rs_upload_stat(api->registry, name, uuid, &offset, NULL) == RS_OK)
        tell_progress(api, req, uuid, offset);
    return rc;
}

/* --- POST: begin --- */

/* May a client have a blob of which it knows the digest, and names no repository that it may read? No policy forbids
 * it: there is no access control yet. */
static bool may_mount_any(const struct rs_api *api, const struct rs_request *req)
{
    (void)api, (void)req;
    return true;
}

/* Links a blob that is there (distribution-spec 1.1, "Mounting a blob from another repository"). *out_done stays false
 * if it cannot: then the client has to upload. RS_E_DIGEST_INVALID, RS_E_DENIED: it could not upload that either. */
static rs_rc try_mount(struct rs_api *api, struct rs_request *req, struct rs_digest *digest, bool *out_done,
                       struct rs_err *err)
{
    rs_str mount, from;
    rs_rc rc = RS_E_BLOB_UNKNOWN;
    struct rs_err why;

    if (!rs_request_query(req, RS_STR("mount"), &mount) || mount.len == 0)
        return RS_OK;
    RS_TRY(rs_api_digest(req, mount, digest, err));
    if (!rs_request_query(req, RS_STR("from"), &from)) {
        if (may_mount_any(api, req))
            rc = rs_blob_mount_any(api->registry, req->captures[0], digest, &why);
    } else if (rs_name_check(from, NULL) == RS_OK) {
        rc = rs_blob_mount(api->registry, req->captures[0], from, digest, &why);
    }
    *out_done = rc == RS_OK;
    if (rc == RS_E_DENIED)
        *err = why;
    return rc == RS_E_DENIED ? rc : RS_OK;
}

static rs_rc tell_mounted(const struct rs_api *api, struct rs_request *req, const struct rs_digest *digest)
{
    uint64_t size = 0;
    rs_str from = {0};

    if (rs_events_wanted(api->events, RS_EVENT_MOUNT, RS_STR(RS_API_BLOB_TYPE)) &&
        rs_blob_stat(api->registry, req->captures[0], digest, &size, NULL) == RS_OK) {
        rs_request_query(req, RS_STR("from"), &from);
        rs_api_event_blob(api, req, RS_EVENT_MOUNT, digest, size, from);
    }
    return tell_blob(api, req, digest);
}

static bool is_of_nothing(const struct rs_digest *digest)
{
    struct rs_digest empty;

    rs_digest_of(digest->alg, "", 0, &empty);
    return rs_digest_eq(digest, &empty);
}

/* Is the whole blob in this request? A client that announces a digest but sends nothing means to go on with a PUT,
 * unless nothing is what it wants to push. */
static rs_rc check_monolithic(struct rs_request *req, struct rs_digest *digest, bool *out_whole, struct rs_err *err)
{
    rs_str text;

    *out_whole = false;
    if (!rs_request_query(req, RS_STR("digest"), &text))
        return RS_OK;
    RS_TRY(rs_api_digest(req, text, digest, err));
    *out_whole = (req->has_body && req->content_length != 0) || is_of_nothing(digest);
    return RS_OK;
}

static rs_rc post_whole(struct rs_api *api, struct rs_request *req, const struct rs_digest *digest, struct rs_err *err)
{
    const struct rs_content_range none = {0};
    RS_AUTO(rs_upload_suspend) struct rs_upload *upload = NULL;
    char uuid[RS_UUID_SIZE];
    uint64_t size = 0;

    RS_TRY(rs_upload_begin(api->registry, req->captures[0], uuid, err));
    rs_rc rc = rs_upload_open(api->registry, req->captures[0], rs_str_c(uuid), digest->alg, &upload, err);
    if (rc == RS_OK && req->has_body)
        rc = receive(req, upload, &none, err);
    if (rc == RS_OK) {
        size = rs_upload_offset(upload);
        rc = rs_upload_commit(&upload, digest, err);
    }
    if (rc == RS_OK)
        return tell_pushed(api, req, digest, size);
    /* The client has never heard of this upload: nobody will go on with it. */
    rs_upload_suspend(&upload);
    (void)rs_upload_cancel(api->registry, req->captures[0], rs_str_c(uuid), NULL);
    return rc;
}

/* The parameter digest-algorithm: what the chunks that follow are hashed with. */
static rs_rc read_algorithm(struct rs_request *req, enum rs_hash_alg *out, struct rs_err *err)
{
    rs_str name;

    *out = RS_SHA256;
    if (!rs_request_query(req, RS_STR("digest-algorithm"), &name) || rs_digest_algorithm(name, out))
        return RS_OK;
    return rs_err_set(err, RS_E_DIGEST_INVALID, "digest-algorithm=" RS_STR_FMT ": it must be sha256 or sha512",
                      RS_STR_ARG(rs_str_sub(name, 0, 40)));
}

static rs_rc post_begin(struct rs_api *api, struct rs_request *req, enum rs_hash_alg alg, struct rs_err *err)
{
    char uuid[RS_UUID_SIZE];

    RS_TRY(rs_upload_begin(api->registry, req->captures[0], uuid, err));
    RS_TRY(rs_upload_choose(api->registry, req->captures[0], rs_str_c(uuid), alg, err));
    req->reply.status = 202;
    tell_progress(api, req, rs_str_c(uuid), 0);
    return RS_OK;
}

rs_rc rs_api_upload_post(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    struct rs_digest digest = {.text = ""};
    enum rs_hash_alg alg;
    bool done = false;

    RS_TRY(rs_api_repository(req, err));
    RS_TRY(rs_api_writable(api, err));
    RS_TRY(read_algorithm(req, &alg, err));
    RS_TRY(try_mount(api, req, &digest, &done, err));
    if (done)
        return tell_mounted(api, req, &digest);
    RS_TRY(check_monolithic(req, &digest, &done, err));
    RS_TRY(rs_upload_check_room(api->registry, req->captures[0], digest.text[0] != '\0' ? &digest : NULL,
                                done ? announced(req) : 0, err));
    return done ? post_whole(api, req, &digest, err) : post_begin(api, req, alg, err);
}

/* --- the upload itself --- */

static rs_rc check_upload(struct rs_request *req, struct rs_err *err)
{
    RS_TRY(rs_api_repository(req, err));
    if (!rs_uuid_valid(req->captures[1]))
        return rs_err_set(err, RS_E_BLOB_UPLOAD_UNKNOWN, "the path names no upload: not a UUID");
    return RS_OK;
}

rs_rc rs_api_upload_get(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    uint64_t offset = 0;

    RS_TRY(check_upload(req, err));
    RS_TRY(rs_upload_stat(api->registry, req->captures[0], req->captures[1], &offset, err));
    req->reply.status = 204;
    tell_progress(api, req, req->captures[1], offset);
    return RS_OK;
}

rs_rc rs_api_upload_patch(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    RS_AUTO(rs_upload_suspend) struct rs_upload *upload = NULL;

    RS_TRY(check_upload(req, err));
    RS_TRY(rs_api_writable(api, err));
    enum rs_hash_alg alg = rs_upload_chosen(api->registry, req->captures[0], req->captures[1]);
    RS_TRY(continue_upload(api, req, alg, NULL, &upload, err));
    req->reply.status = 202;
    tell_progress(api, req, req->captures[1], rs_upload_offset(upload));
    return RS_OK;
}

rs_rc rs_api_upload_put(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    RS_AUTO(rs_upload_suspend) struct rs_upload *upload = NULL;
    struct rs_digest digest;
    rs_str text;

    RS_TRY(check_upload(req, err));
    RS_TRY(rs_api_writable(api, err));
    if (!rs_request_query(req, RS_STR("digest"), &text))
        return rs_err_set(err, RS_E_DIGEST_INVALID, "the parameter \"digest\" is missing");
    RS_TRY(rs_api_digest(req, text, &digest, err));
    RS_TRY(continue_upload(api, req, digest.alg, &digest, &upload, err));
    const uint64_t size = rs_upload_offset(upload);
    RS_TRY(rs_upload_commit(&upload, &digest, err));
    return tell_pushed(api, req, &digest, size);
}

rs_rc rs_api_upload_delete(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;

    RS_TRY(check_upload(req, err));
    RS_TRY(rs_api_writable(api, err));
    RS_TRY(rs_upload_cancel(api->registry, req->captures[0], req->captures[1], err));
    req->reply.status = 204;
    rs_reply_header(req, "Docker-Upload-UUID", req->captures[1]);
    return RS_OK;
}
