/* SPDX-License-Identifier: Apache-2.0 */
/* Serving manifests. rs_manifest_put is in manifest_put.c. */
#include "registry/manifest.h"

#include "layout/link.h"
#include "layout/paths.h"
#include "registry/presence.h"
#include "registry/promise.h"

static rs_rc unknown(rs_rc rc, rs_str repository, const struct rs_digest *digest, struct rs_err *err)
{
    if (rc != RS_E_NOT_FOUND)
        return rc;
    return rs_err_set(err, RS_E_MANIFEST_UNKNOWN, "repository " RS_STR_FMT " has no manifest %s",
                      RS_STR_ARG(repository), digest->text);
}

static rs_rc check_bytes(rs_str bytes, const struct rs_digest *digest, struct rs_err *err)
{
    struct rs_digest found;
    rs_digest_of(digest->alg, bytes.ptr, bytes.len, &found);
    if (!rs_digest_eq(&found, digest))
        return rs_err_set(err, RS_E_CORRUPT, "the stored bytes of manifest %s have the digest %s", digest->text,
                          found.text);
    return RS_OK;
}

static bool holds(rs_str bytes, const char *text)
{
    return memmem(bytes.ptr, bytes.len, text, strlen(text)) != NULL;
}

/* An older registry may have accepted what we would refuse; such bytes are still served, under our best guess. */
static rs_str guess_media_type(rs_str bytes)
{
    if (holds(bytes, RS_MEDIA_DOCKER_LIST))
        return RS_STR(RS_MEDIA_DOCKER_LIST);
    if (holds(bytes, RS_MEDIA_OCI_INDEX) || holds(bytes, "\"manifests\""))
        return RS_STR(RS_MEDIA_OCI_INDEX);
    return holds(bytes, RS_MEDIA_DOCKER_MANIFEST) ? RS_STR(RS_MEDIA_DOCKER_MANIFEST) : RS_STR(RS_MEDIA_OCI_MANIFEST);
}

/* What to answer as Content-Type. */
static rs_str media_type_of(rs_str bytes, struct rs_arena *arena)
{
    struct rs_manifest manifest;
    if (rs_manifest_parse(bytes, (rs_str){NULL, 0}, arena, &manifest, NULL) != RS_OK)
        return guess_media_type(bytes);
    return manifest.media_type;
}

/* From the storage into the cache. */
static rs_rc load(struct rs_registry *registry, const struct rs_digest *digest, const struct rs_manifest_doc **out,
                  struct rs_err *err)
{
    struct rs_path path;
    RS_AUTO(rs_buf_release) struct rs_buf content;
    rs_buf_init(&content, RS_MANIFEST_MAX);
    rs_rc rc = rs_storage_read(registry->storage, rs_path_blob(&path, digest), &content, err);
    if (rc == RS_E_TOO_BIG)
        return rs_err_set(err, RS_E_CORRUPT, "%s is larger than a manifest may be", path.z);
    RS_TRY(rc);
    RS_TRY(check_bytes(rs_buf_str(&content), digest, err));
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    rs_str media_type = media_type_of(rs_buf_str(&content), arena);
    *out = rs_manifest_cache_add(registry->manifests, digest, rs_buf_str(&content), media_type);
    return RS_OK;
}

static rs_rc check_revision(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                            struct rs_err *err)
{
    struct rs_path path;
    struct rs_digest target;
    rs_path_revision_link(&path, repository, digest);
    return unknown(rs_link_follow(registry->storage, path.z, digest, &target, err), repository, digest, err);
}

/* The digest that a reference names, and that the repository has. */
static rs_rc resolve(struct rs_registry *registry, rs_str repository, const struct rs_reference *reference,
                     struct rs_digest *out, struct rs_err *err)
{
    bool seen;
    if (reference->is_digest) {
        *out = reference->digest;
        return check_revision(registry, repository, out, err);
    }
    RS_TRY(rs_tag_resolve(registry, repository, reference->tag, out, &seen, err));
    if (seen)
        return RS_OK;
    RS_TRY(check_revision(registry, repository, out, err));
    rs_tag_saw_revision(registry, repository, reference->tag, out);
    return RS_OK;
}

/* With everything in memory: one stat. */
rs_rc rs_manifest_get(struct rs_registry *registry, rs_str repository, const struct rs_reference *reference,
                      const struct rs_manifest_doc **out, struct rs_err *err)
{
    struct rs_digest digest;
    RS_TRY(resolve(registry, repository, reference, &digest, err));
    const struct rs_manifest_doc *doc = rs_manifest_cache_find(registry->manifests, &digest);
    if (doc == NULL) {
        rs_rc rc = load(registry, &digest, &doc, err);
        if (rc != RS_OK)
            return unknown(rc, repository, &digest, err);
    }
    *out = doc;
    return RS_OK;
}

rs_rc rs_manifest_promise(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                          struct rs_err *err)
{
    struct rs_path path;
    struct rs_digest target;
    rs_path_revision_link(&path, repository, digest);
    rs_presence_ensure(registry->presence, NULL);
    rs_rc rc = rs_promise_found(registry, repository, path.z, digest, RS_TOMBSTONED_IS_GONE, &target, NULL, err);
    return unknown(rc, repository, digest, err);
}

rs_rc rs_manifest_get_platform(struct rs_registry *registry, rs_str repository, const struct rs_manifest_doc *index,
                               rs_str os, rs_str architecture, const struct rs_manifest_doc **out, struct rs_err *err)
{
    struct rs_manifest manifest;
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    RS_TRY(rs_manifest_parse(index->bytes, index->media_type, arena, &manifest, err));
    for (size_t i = 0; i < manifest.descriptor_count; i++) {
        const struct rs_descriptor *d = &manifest.descriptors[i];
        const struct rs_reference child = {.is_digest = true, .digest = d->digest};
        if (rs_str_eq(d->os, os) && rs_str_eq(d->architecture, architecture))
            return rs_manifest_get(registry, repository, &child, out, err);
    }
    return rs_err_set(err, RS_E_MANIFEST_UNKNOWN, "%s has no image for " RS_STR_FMT "/" RS_STR_FMT, index->digest.text,
                      RS_STR_ARG(os), RS_STR_ARG(architecture));
}
