/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: "/v2/<name>/manifests/<tag or digest>" (distribution-spec 1.1, "Pulling manifests", "Pushing manifests").
 */
#include "registry/manifest.h"

#include "api/api_priv.h"

#define TAGS_MAX 50 /* of one push: the specification asks for 10; clients take 100 fields of a reply, as a rule */

static void release_doc(void *owner)
{
    const struct rs_manifest_doc *doc = owner;

    rs_manifest_doc_unref(&doc);
}

/* A tag that cannot exist is a manifest that does not: 404, as registry:2 and the conformance tests have it. */
static rs_rc parse_reference(struct rs_request *req, struct rs_reference *out, struct rs_err *err)
{
    rs_rc rc = rs_reference_parse(req->captures[1], out, err);

    if (rc == RS_E_TAG_INVALID && req->method != RS_METHOD_PUT)
        return rs_err_set(err, RS_E_MANIFEST_UNKNOWN, "\"" RS_STR_FMT "\" is not a tag",
                          RS_STR_ARG(rs_str_sub(req->captures[1], 0, 200)));
    return rc;
}

static void tell_pull(const struct rs_api *api, struct rs_request *req, const struct rs_reference *reference,
                      const struct rs_manifest_doc *doc)
{
    if (api->events == NULL || !rs_events_wanted(api->events, RS_EVENT_PULL, doc->media_type))
        return;
    const struct rs_api_manifest_event told = {&doc->digest, doc->media_type, doc->bytes,
                                               reference->is_digest ? (rs_str){0} : req->captures[1]};
    rs_api_event_manifest(api, req, RS_EVENT_PULL, &told);
}

/* One event for each tag that was set. */
static void tell_push(const struct rs_api *api, struct rs_request *req, const struct rs_manifest_put *put,
                      const struct rs_digest *digest)
{
    struct rs_api_manifest_event told = {.digest = digest, .media_type = put->content_type, .bytes = put->bytes};

    if (!rs_events_wanted(api->events, RS_EVENT_PUSH, (rs_str){0}))
        return;
    if (!put->reference.is_digest)
        told.tag = req->captures[1];
    for (size_t i = 0; i < RS_MAX(put->tag_count, 1); i++) {
        if (put->tag_count > 0)
            told.tag = put->tags[i];
        rs_api_event_manifest(api, req, RS_EVENT_PUSH, &told);
    }
}

/* For retention. A HEAD counts as well: docker and containerd send nothing else when they have the image already, and
 * one that is in use must not be taken for one that nobody wants. What the tag leads to counts when a manifest of it
 * was sent instead. */
static void note_pull(const struct rs_api *api, const struct rs_request *req, const struct rs_digest *named,
                      const struct rs_digest *sent)
{
    rs_pull_note(api->registry, req->captures[0], named);
    if (!rs_digest_eq(named, sent))
        rs_pull_note(api->registry, req->captures[0], sent);
}

/* The hot path of the whole program: nothing here but the registry's look at the link, and copies of short strings. */
rs_rc rs_api_manifest_get(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    struct rs_reference reference;
    RS_AUTO(rs_manifest_doc_unref) const struct rs_manifest_doc *doc = NULL;

    RS_TRY(rs_api_repository(req, err));
    RS_TRY(parse_reference(req, &reference, err));
    if (req->method == RS_METHOD_HEAD && reference.is_digest) /* who pushes an index asks so for what it names */
        RS_TRY(rs_manifest_promise(api->registry, req->captures[0], &reference.digest, err));
    RS_TRY(rs_manifest_get(api->registry, req->captures[0], &reference, &doc, err));
    const struct rs_digest named = doc->digest;
    if (!reference.is_digest)
        RS_TRY(rs_accept_choose(api, req, &doc, err));
    note_pull(api, req, &named, &doc->digest);
    req->log_digest = rs_arena_copy(req->arena, rs_digest_str(&doc->digest));
    rs_api_digest_headers(req, &doc->digest, true);
    if (rs_api_not_modified(req, &doc->digest)) {
        req->reply.status = 304;
        return RS_OK;
    }
    tell_pull(api, req, &reference, doc);
    rs_reply_header(req, "Content-Type", doc->media_type);
    rs_reply_body(req, rs_source_memory(doc->bytes, release_doc, (void *)(uintptr_t)doc));
    doc = NULL; /* the reply's now */
    return RS_OK;
}

static rs_rc too_big(struct rs_err *err)
{
    return rs_err_set(err, RS_E_MANIFEST_TOO_BIG, "a manifest may have %d bytes", RS_MANIFEST_MAX);
}

/* Reads the body, which is limited before anything is allocated for it. */
static rs_rc read_manifest(struct rs_request *req, struct rs_buf *out, struct rs_err *err)
{
    size_t n = 0;

    if (req->content_length > RS_MANIFEST_MAX)
        return too_big(err);
    if (!req->has_body)
        return rs_err_set(err, RS_E_MANIFEST_INVALID, "the request has no body");
    void *buf = rs_request_io_buffer(req);
    do {
        RS_TRY(rs_request_read(req, buf, RS_IO_BUFFER, &n, err));
        rs_buf_append(out, buf, n);
        if (out->overflow)
            return too_big(err);
    } while (n > 0);
    return RS_OK;
}

/* The client's Content-Type without parameters. */
static rs_str content_type(const struct rs_request *req)
{
    rs_str type = {0}, parameters;

    if (!rs_request_header(req, RS_STR("Content-Type"), &type))
        return (rs_str){0};
    rs_str_cut(type, ';', &type, &parameters);
    return rs_str_trim(type);
}

static bool has_tag(const rs_str *tags, size_t count, rs_str tag)
{
    for (size_t i = 0; i < count; i++)
        if (rs_str_eq(tags[i], tag))
            return true;
    return false;
}

/* distribution-spec, "Pushing Manifests": a push by digest may name tags, ?tag=a&tag=b. All are checked before anything
 * is stored; one that comes twice counts once. With a tag in the path they have no meaning, and none is confirmed. */
static rs_rc read_tags(struct rs_request *req, struct rs_manifest_put *put, struct rs_err *err)
{
    rs_str tag, rest = req->query;

    if (!put->reference.is_digest || rest.len == 0)
        return RS_OK;
    rs_str *tags = rs_arena_alloc(req->arena, TAGS_MAX * sizeof *tags);
    for (size_t given = 0; rs_request_query_next(req, RS_STR("tag"), &rest, &tag); given++) {
        if (given == TAGS_MAX)
            return rs_err_set(err, RS_E_URI_TOO_LONG, "a push may name %d tags", TAGS_MAX);
        RS_TRY(rs_tag_check(tag, err));
        if (!has_tag(tags, put->tag_count, tag))
            tags[put->tag_count++] = tag;
    }
    put->tags = tags;
    return RS_OK;
}

static void reply_put(struct rs_api *api, struct rs_request *req, const struct rs_manifest_put *put,
                      const struct rs_digest *digest)
{
    req->log_digest = rs_arena_copy(req->arena, rs_digest_str(digest));
    req->reply.status = 201;
    rs_api_digest_headers(req, digest, false);
    if (put->out_subject->text[0] != '\0') /* "Pushing Manifests with Subject": the list of referrers knows it */
        rs_reply_header_c(req, "OCI-Subject", put->out_subject->text);
    for (size_t i = 0; i < put->tag_count; i++)
        rs_reply_header_add(req, "OCI-Tag", put->tags[i]);
    rs_api_location(
        api, req,
        rs_arena_printf(req->arena, "/v2/" RS_STR_FMT "/manifests/%s", RS_STR_ARG(put->repository), digest->text));
}

static rs_rc put_manifest(struct rs_api *api, struct rs_request *req, struct rs_manifest_put *put, struct rs_err *err)
{
    struct rs_digest digest;
    struct rs_digest subject = {0};
    struct rs_condition condition;

    put->out_subject = &subject;
    rs_condition_read(req, &condition);
    if (rs_condition_given(&condition)) {
        put->accept = rs_condition_holds;
        put->accept_ctx = &condition;
    }
    rs_rc rc = rs_manifest_put(api->registry, put, &digest, err);
    if (rc == RS_E_PRECONDITION)
        return rs_condition_failed(req, &condition, req->captures[1], err);
    RS_TRY(rc);
    tell_push(api, req, put, &digest);
    reply_put(api, req, put, &digest);
    return RS_OK;
}

rs_rc rs_api_manifest_put(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    struct rs_manifest_put put = {.repository = req->captures[0], .content_type = content_type(req)};
    RS_AUTO(rs_buf_release) struct rs_buf bytes;

    rs_buf_init(&bytes, RS_MANIFEST_MAX);
    RS_TRY(rs_api_repository(req, err));
    RS_TRY(parse_reference(req, &put.reference, err));
    RS_TRY(read_tags(req, &put, err));
    RS_TRY(rs_api_writable(api, err));
    RS_TRY(read_manifest(req, &bytes, err));
    put.bytes = rs_buf_str(&bytes);
    return put_manifest(api, req, &put, err);
}

#define DELETED_TAGS_MAX (16 * 1024 * 1024) /* bytes of names */

static void note_tag(void *names, rs_str tag)
{
    rs_buf_add(names, tag);
    rs_buf_add_char(names, '\n');
}

/* As registry:2: an event of the manifest, then one of each tag. */
static rs_rc delete_by_digest(struct rs_api *api, struct rs_request *req, const struct rs_digest *digest,
                              struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf names;
    const bool told = rs_events_wanted(api->events, RS_EVENT_DELETE, (rs_str){0});
    rs_str tag, rest;

    rs_buf_init(&names, DELETED_TAGS_MAX);
    rs_rc rc = rs_manifest_delete(api->registry, req->captures[0], digest, told ? note_tag : NULL, &names, err);
    if (rc == RS_OK)
        rs_api_event_delete(api, req, rs_digest_str(digest), (rs_str){0});
    for (rest = rs_buf_str(&names); rest.len > 0;) {
        rs_str_cut(rest, '\n', &tag, &rest);
        rs_api_event_delete(api, req, (rs_str){0}, tag);
    }
    return rc;
}

/* A tag goes alone, a manifest with every tag that points to it (distribution-spec 1.1, "Content Management"). */
rs_rc rs_api_manifest_delete(struct rs_request *req, void *ctx, struct rs_err *err)
{
    struct rs_api *api = ctx;
    struct rs_reference reference;

    RS_TRY(rs_api_repository(req, err));
    RS_TRY(parse_reference(req, &reference, err));
    RS_TRY(rs_api_may_delete(api, err));
    if (reference.is_digest) {
        req->log_digest = req->captures[1];
        RS_TRY(delete_by_digest(api, req, &reference.digest, err));
    } else {
        RS_TRY(rs_tag_delete(api->registry, req->captures[0], reference.tag, err));
        rs_api_event_delete(api, req, (rs_str){0}, reference.tag);
    }
    req->reply.status = 202;
    return RS_OK;
}
