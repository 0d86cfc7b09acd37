/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page of the referrers of a subject. The index names candidates (see NOTED in referrers_index.c); here each is
 * looked at: is it in the repository, does it say what its note says? So a manifest that was removed, by whomever, is
 * gone from the list at once.
 */
#include "base/log.h"
#include "base/mem.h"
#include "layout/link.h"
#include "layout/paths.h"
#include "registry/manifest.h"
#include "registry/referrers_index.h"
#include "registry/registry_priv.h"

#define JSON_MAX RS_MANIFEST_MAX                /* bytes of a page, unless its first descriptor alone has more */
#define READ_MAX (16 * 1024 * 1024)             /* bytes of manifests read for one */
#define DESCRIPTOR_MAX (RS_MANIFEST_MAX + 1024) /* what it holds beyond its manifest's own text */

struct listing {
    struct rs_registry *registry;
    const struct rs_referrers_query *query;
    struct rs_note_filter filter;
    struct rs_referrers_page *page;
    struct rs_arena *arena;
    struct rs_buf bytes; /* of the manifest */
    size_t read;         /* bytes, of all */
    struct rs_err *err;
};

static void listing_release(struct listing *l)
{
    rs_buf_release(&l->bytes);
    rs_arena_free(&l->arena);
}

void rs_referrers_page_init(struct rs_referrers_page *page)
{
    *page = (struct rs_referrers_page){0};
    rs_buf_init(&page->json, JSON_MAX + 2 * DESCRIPTOR_MAX);
}

void rs_referrers_page_release(struct rs_referrers_page *page)
{
    rs_buf_release(&page->json);
}

/* Whether a link leads to the manifest itself: one to another digest is an alias, and listed under that. */
static rs_rc is_linked(struct listing *l, const struct rs_digest *digest, bool *out)
{
    struct rs_path path;
    struct rs_digest target;
    rs_path_revision_link(&path, l->query->repository, digest);
    rs_rc rc = rs_link_follow(l->registry->storage, path.z, digest, &target, l->err);
    *out = rc == RS_OK && rs_digest_eq(&target, digest);
    return rc == RS_E_NOT_FOUND || rc == RS_E_CORRUPT ? RS_OK : rc;
}

/* The manifest's bytes, from memory or storage; empty if they are gone or damaged. A long list must not displace the
 * images in the cache, so nothing is added to it. */
static rs_rc read_manifest(struct listing *l, const struct rs_digest *digest)
{
    struct rs_path path;
    struct rs_digest found;
    rs_buf_clear(&l->bytes);
    const struct rs_manifest_doc *doc = rs_manifest_cache_find(l->registry->manifests, digest);
    if (doc != NULL) {
        rs_buf_add(&l->bytes, doc->bytes);
        rs_manifest_doc_unref(&doc);
        return RS_OK;
    }
    rs_rc rc = rs_storage_read(l->registry->storage, rs_path_blob(&path, digest), &l->bytes, l->err);
    if (rc == RS_E_NOT_FOUND || rc == RS_E_TOO_BIG)
        return RS_OK;
    RS_TRY(rc);
    rs_digest_of(digest->alg, l->bytes.ptr, l->bytes.len, &found);
    if (!rs_digest_eq(&found, digest))
        rs_buf_clear(&l->bytes);
    return RS_OK;
}

static bool is_meant(struct listing *l, struct rs_referrer *out)
{
    rs_arena_reset(l->arena);
    return rs_manifest_referrer(rs_buf_str(&l->bytes), l->arena, out) &&
           rs_digest_eq(&out->subject, &l->query->subject) &&
           (l->query->artifact_type.len == 0 || rs_str_eq(out->artifact_type, l->query->artifact_type));
}

static void add_descriptor(struct rs_buf *json, const struct rs_digest *digest, size_t size,
                           const struct rs_referrer *referrer)
{
    rs_buf_add_c(json, "{\"mediaType\":");
    rs_json_quote(json, referrer->media_type);
    rs_buf_printf(json, ",\"digest\":\"%s\",\"size\":%zu", digest->text, size);
    if (referrer->artifact_type.len > 0) {
        rs_buf_add_c(json, ",\"artifactType\":");
        rs_json_quote(json, referrer->artifact_type);
    }
    if (referrer->annotations.len > 0) {
        rs_buf_add_c(json, ",\"annotations\":");
        rs_buf_add(json, referrer->annotations);
    }
    rs_buf_add_char(json, '}');
}

/* Appends the descriptor, unless the page is full: then there is more. */
static void add(struct listing *l, const struct rs_digest *digest, const struct rs_referrer *referrer)
{
    struct rs_referrers_page *page = l->page;
    size_t before = page->json.len;
    if (page->count == l->query->max) {
        page->more = true;
        return;
    }
    if (page->count > 0)
        rs_buf_add_char(&page->json, ',');
    add_descriptor(&page->json, digest, l->bytes.len, referrer);
    if (page->count > 0 && page->json.len > JSON_MAX) {
        page->json.len = before;
        page->more = true;
        return;
    }
    page->count++;
}

static rs_rc look_at(struct listing *l, const struct rs_digest *digest)
{
    bool linked;
    struct rs_referrer referrer;
    RS_TRY(is_linked(l, digest, &linked));
    if (!linked)
        return RS_OK;
    RS_TRY(read_manifest(l, digest));
    l->read += l->bytes.len;
    if (is_meant(l, &referrer))
        add(l, digest, &referrer);
    return RS_OK;
}

/* Those of one algorithm, from a place on. */
static rs_rc list_from(struct listing *l, const struct rs_referrers_index *index, size_t place)
{
    struct rs_digest digest;
    for (; rs_referrers_index_next(index, &l->filter, &place, &digest); place++) {
        if (l->read >= READ_MAX)
            l->page->more = true;
        else
            RS_TRY(look_at(l, &digest));
        if (l->page->more)
            return RS_OK;
        l->page->last = digest;
    }
    return RS_OK;
}

static rs_rc list_algorithm(struct listing *l, enum rs_hash_alg alg, rs_str after)
{
    RS_AUTO(rs_referrers_index_unref) struct rs_referrers_index *index = NULL;
    RS_TRY(rs_referrers_index_open(l->registry, l->query->repository, alg, l->query->read_only, &index, l->err));
    if (index == NULL)
        return RS_OK;
    return list_from(l, index, after.len > 0 ? rs_referrers_index_after(index, after) : 0);
}

/* `after` lies in the list of one algorithm; those before it are done with. */
static rs_rc list_all(struct listing *l)
{
    rs_str name, hex;
    rs_str_cut(l->query->after, ':', &name, &hex);
    for (int alg = 0; alg < RS_HASH_ALGS && !l->page->more; alg++) {
        int order = rs_str_cmp(rs_str_c(rs_hash_name((enum rs_hash_alg)alg)), name);
        if (order >= 0)
            RS_TRY(list_algorithm(l, (enum rs_hash_alg)alg, order == 0 ? hex : (rs_str){NULL, 0}));
    }
    return RS_OK;
}

rs_rc rs_referrers_list(struct rs_registry *registry, const struct rs_referrers_query *query,
                        struct rs_referrers_page *out, struct rs_err *err)
{
    RS_AUTO(listing_release)
    struct listing l = {
        .registry = registry,
        .query = query,
        .filter = rs_note_filter(&query->subject, query->artifact_type),
        .page = out,
        .arena = rs_arena_new(),
        .err = err,
    };
    rs_buf_init(&l.bytes, RS_MANIFEST_MAX);
    return list_all(&l);
}
