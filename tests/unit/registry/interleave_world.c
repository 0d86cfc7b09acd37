/* SPDX-License-Identifier: Apache-2.0 */
#include "interleave.h"

#include <unistd.h>

#include "base/mem.h"
#include "layout/link.h"
#include "layout/paths.h"
#include "layout/walk.h"
#include "oci/manifest.h"

void world_make(struct world *w, const char *state_dir)
{
    struct rs_err err;
    struct rs_storage *memory;
    /* Nothing is remembered, so that it sees what is missing. */
    const struct rs_registry_config quiet = {.manifest_cache_bytes = 0, .state_dir = state_dir};
    *w = (struct world){0};
    assert_int_equal(rs_storage_memory_new(64 * 1024 * 1024, &memory, &err), RS_OK);
    steps_storage_new(memory, &w->storage);
    assert_int_equal(rs_registry_new(&quiet, w->storage, &w->quiet, &err), RS_OK);
}

void world_drop(struct world *w)
{
    rs_registry_free(&w->quiet);
    rs_storage_free(&w->storage);
}

void world_begin(struct world *w)
{
    *w = (struct world){.storage = w->storage, .quiet = w->quiet};
    world_age(w, 0);
    assert_int_equal(rs_storage_remove(w->storage, "/docker", NULL, NULL), RS_OK);
    assert_int_equal(rs_storage_remove(w->storage, "/roadstead", NULL, NULL), RS_OK);
}

void world_serve(struct world *w, const char *state_dir, size_t servers)
{
    struct rs_err err;
    const struct rs_registry_config config = {
        .manifest_cache_bytes = 1024 * 1024, .state_dir = state_dir, .grace_s = WORLD_GRACE_S};
    for (size_t i = 0; i < servers; i++)
        assert_int_equal(rs_registry_new(&config, w->storage, &w->servers[i], &err), RS_OK);
}

void world_end(struct world *w)
{
    for (size_t i = 0; i < RS_COUNT(w->servers); i++)
        rs_registry_free(&w->servers[i]);
}

void world_age(struct world *w, int64_t seconds)
{
    steps_storage_age(w->storage, seconds);
}

void world_expect(struct world *w, const char *what, rs_rc rc, const struct rs_err *err, rs_rc or_this, rs_rc or_that)
{
    if (rc == RS_OK || rc == or_this || rc == or_that || w->broken != NULL)
        return;
    w->broken = what;
    snprintf(w->broken_text, sizeof w->broken_text, "%s: %s", rs_rc_name(rc), err->text);
}

/* --- clients --- */

static rs_rc push(struct rs_registry *registry, rs_str repository, const char *text, const struct rs_digest *digest,
                  struct rs_err *err)
{
    char uuid[RS_UUID_SIZE];
    struct rs_upload *upload = NULL;
    RS_TRY(rs_upload_begin(registry, repository, uuid, err));
    RS_TRY(rs_upload_open(registry, repository, rs_str_c(uuid), digest->alg, &upload, err));
    rs_rc rc = rs_upload_write(upload, text, strlen(text), err);
    if (rc == RS_OK)
        rc = rs_upload_commit(&upload, digest, err);
    rs_upload_suspend(&upload);
    return rc;
}

rs_rc world_push(struct world *w, size_t server, const char *repository, const char *text, enum rs_hash_alg alg)
{
    struct rs_err err = {0};
    struct rs_digest digest;
    rs_digest_of(alg, text, strlen(text), &digest);
    rs_rc rc = push(w->servers[server], rs_str_c(repository), text, &digest, &err);
    world_expect(w, "a push of a blob", rc, &err, RS_OK, RS_OK);
    return rc;
}

void world_lay(struct world *w, const char *repository, const char *text, enum rs_hash_alg alg)
{
    struct rs_err err;
    struct rs_digest digest;
    rs_digest_of(alg, text, strlen(text), &digest);
    assert_int_equal(push(w->quiet, rs_str_c(repository), text, &digest, &err), RS_OK);
}

bool world_has(struct world *w, size_t server, const char *repository, const char *text, enum rs_hash_alg alg)
{
    uint64_t size;
    struct rs_err err = {0};
    struct rs_digest digest;
    rs_digest_of(alg, text, strlen(text), &digest);
    rs_rc rc = rs_blob_stat(w->servers[server], rs_str_c(repository), &digest, &size, &err);
    world_expect(w, "a look at a blob", rc, &err, RS_E_BLOB_UNKNOWN, RS_OK);
    return rc == RS_OK;
}

static rs_rc put(struct rs_registry *registry, const char *repository, const char *tag, const char *json,
                 struct rs_err *err)
{
    struct rs_digest digest;
    struct rs_manifest_put put = {.repository = rs_str_c(repository), .bytes = rs_str_c(json)};
    rs_digest_of(RS_SHA256, json, strlen(json), &digest);
    put.reference = tag != NULL ? (struct rs_reference){.tag = rs_str_c(tag)}
                                : (struct rs_reference){.is_digest = true, .digest = digest};
    return rs_manifest_put(registry, &put, &digest, err);
}

rs_rc world_put(struct world *w, size_t server, const char *repository, const char *tag, const char *json)
{
    struct rs_err err = {0};
    rs_rc rc = put(w->servers[server], repository, tag, json, &err);
    world_expect(w, "a push of a manifest", rc, &err, RS_E_MANIFEST_BLOB_UNKNOWN, RS_OK);
    return rc;
}

void world_lay_manifest(struct world *w, const char *repository, const char *tag, const char *json)
{
    struct rs_err err;
    assert_int_equal(put(w->quiet, repository, tag, json, &err), RS_OK);
}

void world_push_image(struct world *w, size_t server, const char *repository, const char *tag, const char *json,
                      const char *const *blobs, size_t blob_count)
{
    for (int attempt = 0; attempt < 3; attempt++) {
        for (size_t i = 0; i < blob_count; i++)
            if (!world_has(w, server, repository, blobs[i], RS_SHA256))
                world_push(w, server, repository, blobs[i], RS_SHA256);
        if (world_put(w, server, repository, tag, json) == RS_OK) {
            world_promise_manifest(w, repository, tag, json);
            return;
        }
        w->refused++;
    }
    struct rs_err err = {.text = "refused three times"};
    world_expect(w, "a push of an image", RS_E_MANIFEST_BLOB_UNKNOWN, &err, RS_OK, RS_OK);
}

void world_promise_blob(struct world *w, const char *repository, const struct rs_digest *digest)
{
    assert_true(w->promise_count < WORLD_PROMISES);
    w->promises[w->promise_count++] = (struct world_promise){.repository = repository, .digest = *digest};
}

void world_promise_manifest(struct world *w, const char *repository, const char *tag, const char *json)
{
    assert_true(w->promise_count < WORLD_PROMISES);
    struct world_promise *p = &w->promises[w->promise_count++];
    *p = (struct world_promise){.repository = repository, .tag = tag, .is_manifest = true};
    rs_digest_of(RS_SHA256, json, strlen(json), &p->digest);
}

/* --- at the end --- */

struct check {
    struct world *w;
    rs_str repository;
    char *out;
    size_t size;
};

static void complain(const struct check *c, const char *what, const struct rs_digest *digest, const char *why)
{
    if (c->out[0] == '\0')
        snprintf(c->out, c->size, "%s " RS_STR_FMT "@%s: %s", what, RS_STR_ARG(c->repository), digest->text, why);
}

static void check_blob(const struct check *c, const char *what, const struct rs_digest *digest)
{
    struct rs_source source;
    struct rs_digest found;
    struct rs_err err = {0};
    char bytes[4096];
    if (rs_blob_open(c->w->quiet, c->repository, digest, &source, &err) != RS_OK) {
        complain(c, what, digest, err.text);
        return;
    }
    ssize_t n = source.length;
    if (source.kind == RS_SOURCE_FILE)
        n = pread(source.fd, bytes, sizeof bytes, (off_t)source.offset);
    const void *content = source.kind == RS_SOURCE_FILE ? bytes : (const void *)source.memory;
    rs_digest_of(digest->alg, content, (size_t)n, &found);
    if (!rs_digest_eq(&found, digest))
        complain(c, what, digest, "other bytes");
    rs_source_release(&source);
}

/* NOLINTNEXTLINE(misc-no-recursion): an index names manifests, which name blobs */
static void check_manifest(const struct check *c, const char *what, const struct rs_reference *reference)
{
    struct rs_err err = {0};
    struct rs_manifest manifest;
    const struct rs_manifest_doc *doc = NULL;
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    struct rs_digest none = {0};
    if (rs_manifest_get(c->w->quiet, c->repository, reference, &doc, &err) != RS_OK) {
        complain(c, what, reference->is_digest ? &reference->digest : &none, err.text);
        return;
    }
    if (rs_manifest_parse(doc->bytes, doc->media_type, arena, &manifest, &err) != RS_OK)
        complain(c, what, &doc->digest, err.text);
    else
        for (size_t i = 0; i < manifest.descriptor_count; i++) {
            const struct rs_descriptor *d = &manifest.descriptors[i];
            const struct rs_reference child = {.is_digest = true, .digest = d->digest};
            if (d->role == RS_ROLE_MANIFEST)
                check_manifest(c, "a manifest of an index", &child);
            else
                check_blob(c, "a blob of a manifest", &d->digest);
        }
    rs_manifest_doc_unref(&doc);
}

static bool check_revision(void *ctx, const struct rs_digest *digest)
{
    const struct rs_reference reference = {.is_digest = true, .digest = *digest};
    check_manifest(ctx, "a manifest that is served", &reference);
    return true;
}

static bool check_repository(void *ctx, rs_str name, unsigned parts)
{
    struct check *c = ctx;
    struct rs_path path;
    (void)parts;
    c->repository = name;
    rs_digests_walk(c->w->storage, rs_path_revisions(&path, name, RS_SHA256), RS_SHA256, check_revision, c, NULL);
    return true;
}

static void check_promise(struct check *c, const struct world_promise *p)
{
    const struct rs_reference by_digest = {.is_digest = true, .digest = p->digest};
    c->repository = rs_str_c(p->repository);
    if (!p->is_manifest) {
        check_blob(c, "a promised blob", &p->digest);
        return;
    }
    check_manifest(c, "a promised manifest", &by_digest);
    if (p->tag != NULL) {
        const struct rs_reference by_tag = {.tag = rs_str_c(p->tag)};
        check_manifest(c, "a promised tag", &by_tag);
    }
}

void world_check(struct world *w, bool whole, char *out, size_t size)
{
    struct rs_path path;
    struct rs_storage_stat st;
    struct check c = {.w = w, .out = out, .size = size};
    out[0] = '\0';
    if (w->broken != NULL)
        snprintf(out, size, "%s: %s", w->broken, w->broken_text);
    for (size_t i = 0; i < w->promise_count; i++)
        check_promise(&c, &w->promises[i]);
    if (whole)
        rs_repositories_walk(w->storage, check_repository, &c, NULL);
    if (out[0] == '\0' && rs_storage_stat(w->storage, rs_path_tombstones(&path), &st, NULL) != RS_E_NOT_FOUND)
        snprintf(out, size, "tombstones are left");
}

void world_forget_untagged(struct world *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->promise_count; i++)
        if (w->promises[i].tag != NULL)
            w->promises[kept++] = w->promises[i];
    w->promise_count = kept;
}
