/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MARKING. Everything is read before anything is removed, and what is not understood ends it: a manifest, a link, an
 * algorithm, a listing that breaks off. What comes while it goes on has young links: everybody who relies on an old one
 * renews it first (registry/presence.h), and the remover looks again.
 *
 * What is needed costs no look of its own: a digest that a manifest names is in a set, and so are the names that a
 * listing of links or blobs tells. Only what is in no set is looked at.
 *
 * SHA-512. registry:2 keeps a blob that came with such a digest under its SHA-256, and makes a link of that name that
 * leads there. Whoever needs the one needs both. SHA-256 links lead to themselves.
 */
#include "base/clock.h"
#include "layout/link.h"
#include "layout/walk.h"
#include "upkeep/collect_priv.h"

#define FOREIGN_UPLOAD_S 3600

/* --- what is needed --- */

rs_rc collect_need(struct rs_collect *c, const struct rs_digest_key *key)
{
    bool is_new;
    RS_TRY(rs_digest_set_add(&c->repository.needed, key, &is_new, c->err));
    return is_new ? rs_digest_set_add(&c->marked, key, NULL, c->err) : RS_OK;
}

rs_rc collect_keep(struct rs_collect *c, const struct rs_digest *digest, const struct rs_digest *target)
{
    struct rs_digest_key key;
    rs_digest_key_of(digest, &key);
    RS_TRY(rs_digest_set_add(&c->repository.kept, &key, NULL, c->err));
    RS_TRY(rs_digest_set_add(&c->marked, &key, NULL, c->err));
    rs_digest_key_of(target, &key);
    collect_tell(
        c, (struct rs_collect_told){.event = RS_COLLECT_MANIFEST, .repository = c->repository.name, .digest = digest});
    return rs_digest_set_add(&c->marked, &key, NULL, c->err);
}

static rs_rc need_digest(struct rs_collect *c, const struct rs_digest *digest)
{
    struct rs_digest_key key;
    struct rs_digest target;
    rs_digest_key_of(digest, &key);
    RS_TRY(collect_need(c, &key));
    if (digest->alg == RS_SHA256)
        return RS_OK;
    RS_TRY(collect_follow_alias(c, c->repository.name, digest, &target));
    rs_digest_key_of(&target, &key);
    return collect_need(c, &key);
}

/* A subject that is not here need not be, and one that is here stays as all manifests do. */
static void visit_need(void *ctx, enum rs_descriptor_role role, const struct rs_digest *digest)
{
    struct rs_collect *c = ctx;
    if (role != RS_ROLE_SUBJECT && c->rc == RS_OK)
        collect_note(c, need_digest(c, digest));
}

static rs_rc mark_manifest(struct rs_collect *c, const struct rs_digest *digest)
{
    struct rs_digest target;
    bool there;
    RS_TRY(collect_read_manifest(c, c->repository.name, digest, &target, &there));
    if (!there)
        return RS_OK;
    c->report->manifests++;
    RS_TRY(collect_keep(c, digest, &target));
    RS_TRY(collect_needs(c, c->repository.name, digest, visit_need, c));
    return c->rc;
}

static bool visit_revision(void *ctx, const struct rs_digest *digest)
{
    struct rs_collect *c = ctx;
    return collect_note(c, mark_manifest(c, digest)) && collect_goes_on(c);
}

static rs_rc mark_all(struct rs_collect *c)
{
    struct rs_path path;
    for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
        rs_path_revisions(&path, c->repository.name, (enum rs_hash_alg)alg);
        RS_TRY(rs_digests_walk(c->storage, path.z, (enum rs_hash_alg)alg, visit_revision, c, c->err));
        RS_TRY(c->rc);
    }
    return RS_OK;
}

/* --- links --- */

/* One of a blob that is on its way into a manifest, or that somebody was promised. */
static rs_rc mark_young(struct rs_collect *c, const char *path, const struct rs_digest *digest)
{
    struct rs_digest_key key;
    struct rs_digest target;
    rs_digest_key_of(digest, &key);
    RS_TRY(rs_digest_set_add(&c->marked, &key, NULL, c->err));
    rs_rc rc = rs_link_follow(c->storage, path, digest, &target, c->err);
    if (rc != RS_OK)
        return rc == RS_E_NOT_FOUND ? RS_OK : rc;
    rs_digest_key_of(&target, &key);
    return rs_digest_set_add(&c->marked, &key, NULL, c->err);
}

static rs_rc judge_link(struct rs_collect *c, const struct rs_digest *digest)
{
    struct rs_path path;
    struct rs_storage_stat st;
    struct rs_digest_key key;
    rs_digest_key_of(digest, &key);
    if (rs_digest_set_has(&c->repository.needed, &key))
        return RS_OK;
    rs_path_layer_link(&path, c->repository.name, digest);
    rs_rc rc = rs_storage_stat(c->storage, path.z, &st, c->err);
    if (rc != RS_OK)
        return rc == RS_E_NOT_FOUND ? RS_OK : rc;
    if (st.mtime_s >= c->before_s) {
        c->met_young = true;
        return mark_young(c, path.z, digest);
    }
    return collect_plan(
        c, &(struct rs_plan_line){.kind = RS_REMOVE_LINK, .repository = c->repository.name, .digest = *digest});
}

static bool visit_link(void *ctx, const struct rs_digest *digest)
{
    struct rs_collect *c = ctx;
    return collect_note(c, judge_link(c, digest)) && collect_goes_on(c);
}

struct pulled {
    struct rs_collect *c;
    enum rs_hash_alg alg;
};

/* A note of pulls is a file of that name. */
static bool visit_pulled(void *ctx, rs_str hex, bool is_directory)
{
    const struct pulled *p = ctx;
    char text[RS_DIGEST_TEXT_MAX];
    struct rs_digest_key key;
    struct rs_plan_line line = {.is_pulled = true, .repository = p->c->repository.name};
    int len = snprintf(text, sizeof text, "%s:" RS_STR_FMT, rs_hash_name(p->alg), RS_STR_ARG(hex));
    if (is_directory || len >= (int)sizeof text || rs_digest_parse(rs_str_c(text), &line.digest, NULL) != RS_OK)
        return true;
    rs_digest_key_of(&line.digest, &key);
    if (!rs_digest_set_has(&p->c->repository.kept, &key))
        collect_note(p->c, collect_plan(p->c, &line));
    return collect_goes_on(p->c);
}

static rs_rc judge_pulled(struct rs_collect *c)
{
    struct rs_path path;
    for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
        struct pulled p = {c, (enum rs_hash_alg)alg};
        rs_path_pulled(&path, c->repository.name, (enum rs_hash_alg)alg);
        rs_rc rc = rs_storage_scan(c->storage, path.z, visit_pulled, &p, c->err);
        RS_TRY(c->rc);
        RS_TRY(rc == RS_E_NOT_FOUND ? RS_OK : rc);
    }
    return RS_OK;
}

static rs_rc judge_links(struct rs_collect *c)
{
    struct rs_path path;
    for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
        rs_path_layer_links(&path, c->repository.name, (enum rs_hash_alg)alg);
        RS_TRY(rs_digests_walk(c->storage, path.z, (enum rs_hash_alg)alg, visit_link, c, c->err));
        RS_TRY(c->rc);
    }
    return RS_OK;
}

/* --- what is not understood --- */

static bool visit_algorithm(void *ctx, rs_str name, bool is_directory)
{
    struct rs_collect *c = ctx;
    enum rs_hash_alg alg;
    if (!is_directory || rs_digest_algorithm(name, &alg))
        return true;
    collect_note(c, rs_err_set(c->err, RS_E_INVALID,
                               "repository " RS_STR_FMT " has links of the algorithm \"" RS_STR_FMT
                               "\", which is not known here: what they need is unknown, and nothing was removed",
                               RS_STR_ARG(c->repository.name), RS_STR_ARG(name)));
    return false;
}

static rs_rc check_algorithms(struct rs_collect *c, const char *path)
{
    rs_rc rc = rs_storage_scan(c->storage, path, visit_algorithm, c, c->err);
    RS_TRY(c->rc);
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}

/* Uploads that are ours tell a fraction of a second (registry/upload.c), a registry:2's never do. */
static rs_rc judge_upload(struct rs_collect *c, rs_str uuid)
{
    struct rs_path path;
    int64_t began_s;
    size_t at;
    RS_AUTO(rs_buf_release) struct rs_buf text;
    rs_buf_init(&text, 64);
    rs_path_upload_startedat(&path, c->repository.name, uuid);
    if (rs_storage_read(c->storage, path.z, &text, NULL) != RS_OK ||
        !rs_rfc3339_parse(rs_str_trim(rs_buf_str(&text)), &began_s) || rs_str_find(rs_buf_str(&text), '.', &at))
        return RS_OK;
    int64_t age_s = rs_wall_s() - began_s;
    if (age_s > FOREIGN_UPLOAD_S || age_s < -FOREIGN_UPLOAD_S)
        return RS_OK;
    return rs_err_set(c->err, RS_E_BUSY,
                      "a registry:2 began an upload %lld seconds ago (%s), and no collection may run beside one that "
                      "writes: stop it, and cancel that upload or remove its directory, or wait for an hour",
                      (long long)age_s, path.z);
}

static bool visit_upload(void *ctx, rs_str uuid, bool is_directory)
{
    struct rs_collect *c = ctx;
    if (is_directory && rs_uuid_valid(uuid) && collect_note(c, judge_upload(c, uuid)))
        return true;
    return c->rc == RS_OK;
}

static rs_rc check_uploads(struct rs_collect *c)
{
    struct rs_path path;
    rs_path_uploads(&path, c->repository.name);
    rs_rc rc = rs_storage_scan(c->storage, path.z, visit_upload, c, c->err);
    RS_TRY(c->rc);
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}

/* --- repositories --- */

static rs_rc mark_manifests(struct rs_collect *c)
{
    struct rs_path path;
    rs_path_revisions(&path, c->repository.name, RS_SHA256);
    RS_TRY(check_algorithms(c, rs_path_parent(&path)));
    return c->options->delete_untagged ? collect_mark_tagged(c) : mark_all(c);
}

static rs_rc mark_repository(struct rs_collect *c, unsigned parts)
{
    struct rs_path path;
    c->report->repositories++;
    rs_digest_set_clear(&c->repository.needed);
    rs_digest_set_clear(&c->repository.kept);
    collect_tell(c, (struct rs_collect_told){.event = RS_COLLECT_REPOSITORY, .repository = c->repository.name});
    if ((parts & RS_PART_UPLOADS) != 0 && !c->options->dry_run)
        RS_TRY(check_uploads(c));
    if ((parts & RS_PART_MANIFESTS) != 0)
        RS_TRY(mark_manifests(c));
    if ((parts & RS_PART_LAYERS) != 0) {
        RS_TRY(check_algorithms(c, rs_path_layers(&path, c->repository.name)));
        RS_TRY(judge_links(c));
    }
    return (parts & RS_PART_OWN) != 0 ? judge_pulled(c) : RS_OK;
}

static bool visit_repository(void *ctx, rs_str name, unsigned parts)
{
    struct rs_collect *c = ctx;
    c->repository.name = name;
    return collect_note(c, mark_repository(c, parts)) && collect_goes_on(c);
}

/* --- blobs --- */

static rs_rc judge_blob(struct rs_collect *c, const struct rs_digest *digest)
{
    struct rs_path path;
    struct rs_storage_stat st;
    struct rs_digest_key key;
    rs_digest_key_of(digest, &key);
    if (rs_digest_set_has(&c->marked, &key))
        return RS_OK;
    rs_rc rc = rs_storage_stat(c->storage, rs_path_blob(&path, digest), &st, c->err);
    if (rc != RS_OK)
        return rc == RS_E_NOT_FOUND ? RS_OK : rc;
    c->met_young |= st.mtime_s >= c->before_s;
    if (st.mtime_s >= c->before_s)
        return RS_OK;
    return collect_plan(c, &(struct rs_plan_line){.kind = RS_REMOVE_BLOB, .digest = *digest, .size = st.size});
}

static bool visit_blob(void *ctx, const struct rs_digest *digest)
{
    struct rs_collect *c = ctx;
    return collect_note(c, judge_blob(c, digest)) && collect_goes_on(c);
}

static rs_rc judge_blobs(struct rs_collect *c, enum rs_hash_alg alg)
{
    struct rs_path path;
    char prefix[3];
    for (unsigned i = 0; i < 256 && collect_goes_on(c); i++) {
        snprintf(prefix, sizeof prefix, "%02x", i);
        rs_path_blobs(&path, alg, rs_str_c(prefix));
        RS_TRY(rs_digests_walk(c->storage, path.z, alg, visit_blob, c, c->err));
    }
    return c->rc;
}

rs_rc collect_mark(struct rs_collect *c)
{
    rs_rc rc = rs_repositories_walk(c->storage, visit_repository, c, c->err);
    RS_TRY(c->rc);
    RS_TRY(rc);
    for (int alg = 0; alg < RS_HASH_ALGS; alg++)
        RS_TRY(judge_blobs(c, (enum rs_hash_alg)alg));
    c->report->marked = c->marked.count;
    return RS_OK;
}
