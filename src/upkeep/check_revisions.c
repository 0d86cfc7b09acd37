/* SPDX-License-Identifier: Apache-2.0 */
/* The manifests of a repository: their links, and whether they can be understood. */
#include "layout/link.h"
#include "upkeep/check_priv.h"

struct revisions {
    struct repository *r;
    enum rs_hash_alg alg;
    struct rs_path path; /* of the directory of all */
};

static struct rs_finding finding(const struct repository *r, enum rs_finding_kind kind, const struct rs_digest *digest,
                                 const char *path)
{
    return (struct rs_finding){
        .kind = kind, .repository = r->name, .subject = rs_digest_str(digest), .path = rs_str_c(path)};
}

/* --- a link without a manifest --- */

/* LOOK AGAIN, see check.c. RS_E_EXISTS: it was pushed meanwhile. */
static rs_rc unlink_revision(struct repository *r, const struct rs_digest *digest, const char *path, const char *why,
                             const struct rs_path *to, struct rs_err *err)
{
    struct rs_path data, parent;
    struct rs_storage_stat st;
    RS_TRY(check_quarantine(r->c, path, to, why, err));
    rs_path_blob(&data, digest);
    if (rs_storage_stat(r->c->storage, data.z, &st, NULL) == RS_E_NOT_FOUND ||
        check_seen_is_corrupt(r->c->seen, digest)) {
        rs_path_revision_link(&parent, r->name, digest);
        rs_storage_prune(r->c->storage, rs_path_parent(&parent), 1, NULL, NULL);
        return RS_OK;
    }
    rs_rc rc = check_put_back(r->c, to, path, err);
    return rc == RS_OK ? RS_E_EXISTS : rc;
}

/* No manifest can be had under the digest. */
static void tell_missing(struct repository *r, const struct rs_digest *digest, const char *path, const char *why)
{
    struct rs_path to;
    struct rs_err err = {0};
    struct rs_storage_stat st;
    char done[CHECK_TEXT_MAX];
    RS_AUTO(rs_buf_release) struct rs_buf what;
    if (rs_storage_stat(r->c->storage, path, &st, NULL) == RS_E_NOT_FOUND)
        return; /* deleted meanwhile */
    rs_buf_init(&what, CHECK_TEXT_MAX);
    rs_buf_printf(&what, "%s; ", why);
    check_tags_of(r, digest, &what);
    struct rs_finding f = finding(r, RS_FINDING_MISSING_MANIFEST, digest, path);
    f.what = rs_str_c(rs_buf_z(&what));
    check_quarantine_path("links", rs_str_c(rs_digest_hex(digest)), &to);
    rs_rc rc = r->c->config->repair ? unlink_revision(r, digest, path, f.what.ptr, &to, &err) : RS_OK;
    if (rc == RS_E_EXISTS)
        return;
    r->manifests -= r->c->config->repair && rc == RS_OK;
    snprintf(done, sizeof done, "moved its link to %s", to.z);
    check_tell_repair(r->c, &f, "would move its link, and the tags that point to it, to the quarantine", done, rc,
                      &err);
}

/* --- a link that holds something else --- */

static void tell_broken(struct repository *r, const struct rs_digest *digest, const char *path,
                        const struct rs_err *why)
{
    struct rs_err err = {0};
    struct rs_finding f = finding(r, RS_FINDING_BROKEN_LINK, digest, path);
    f.what = rs_str_c(why->text);
    rs_rc rc = r->c->config->repair ? check_rewrite_link(r->c, path, digest, &err) : RS_OK;
    check_tell_repair(r->c, &f, "would write it anew, as its manifest is whole",
                      "wrote it anew, as its manifest is whole", rc, &err);
}

/* --- one manifest --- */

static void parse(struct repository *r, const struct rs_digest *digest, const char *path, rs_str bytes)
{
    struct rs_manifest manifest;
    struct rs_err err;
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    if (rs_manifest_parse(bytes, (rs_str){0}, arena, &manifest, &err) == RS_OK) {
        check_references(r, digest, &manifest);
        return;
    }
    struct rs_finding f = finding(r, RS_FINDING_UNKNOWN_MANIFEST, digest, path);
    f.what = rs_str_c(err.text);
    f.action = RS_STR("it is left alone; a collection refuses to run while it is there");
    check_tell(r->c, &f);
}

/* RS_E_NOT_FOUND, RS_E_CORRUPT (bytes of another digest), or that it cannot be read. */
static rs_rc read_manifest(struct repository *r, const struct rs_digest *digest, struct rs_buf *out, struct rs_err *err)
{
    struct rs_path data;
    struct rs_digest found;
    rs_path_blob(&data, digest);
    RS_TRY(rs_storage_read(r->c->storage, data.z, out, err));
    rs_digest_of(digest->alg, out->ptr, out->len, &found);
    if (!rs_digest_eq(&found, digest))
        return rs_err_set(err, RS_E_CORRUPT, "its bytes have the digest %s", found.text);
    return RS_OK;
}

static void look_at_manifest(struct repository *r, const struct rs_digest *digest, const struct rs_digest *target,
                             const char *path, const struct rs_err *broken)
{
    struct rs_err err = {0};
    struct rs_path data;
    RS_AUTO(rs_buf_release) struct rs_buf bytes;
    rs_buf_init(&bytes, RS_MANIFEST_MAX);
    rs_rc rc = read_manifest(r, target, &bytes, &err);
    if (rc == RS_E_CORRUPT && !r->c->config->hash) /* else told with the blobs */
        rc = check_blob(r->c, target) == CHECK_GONE ? RS_E_NOT_FOUND : rc;
    if (rc == RS_OK && broken != NULL)
        tell_broken(r, digest, path, broken);
    if (rc == RS_OK)
        parse(r, digest, path, rs_buf_str(&bytes));
    else if (rc == RS_E_NOT_FOUND)
        tell_missing(r, target, path, "the manifest is not in the registry");
    else if (rc == RS_E_CORRUPT && !r->c->config->repair)
        tell_missing(r, target, path, "the manifest is corrupt");
    else if (rc != RS_E_CORRUPT)
        check_failed(r->c, r->name, rs_path_blob(&data, target), rc, &err);
}

static void look_at_revision(struct repository *r, const struct rs_digest *digest, const char *path)
{
    struct rs_digest target;
    struct rs_err err = {0};
    rs_rc rc = rs_link_read(r->c->storage, path, &target, &err);
    if (rc == RS_E_NOT_FOUND)
        return;
    r->manifests++;
    r->c->counts->manifests++;
    if (rc == RS_OK && target.alg == digest->alg && !rs_digest_eq(&target, digest))
        rc = rs_err_set(&err, RS_E_CORRUPT, "it holds another digest, %s", target.text);
    if (rc == RS_E_CORRUPT)
        target = *digest;
    if (rc != RS_OK && rc != RS_E_CORRUPT) {
        check_failed(r->c, r->name, path, rc, &err);
        return;
    }
    check_seen_linked(r->c->seen, &target);
    look_at_manifest(r, digest, &target, path, rc == RS_OK ? NULL : &err);
}

static bool visit_revision(void *ctx, rs_str name, bool is_directory)
{
    const struct revisions *v = ctx;
    struct rs_digest digest;
    struct rs_path path, directory;
    if (!check_digest_name(v->r->c, v->r->name, v->path.z, v->alg, name, is_directory, &digest))
        return true;
    rs_path_revision_link(&path, v->r->name, &digest);
    directory = path;
    if (check_leaf(v->r->c, v->r->name, rs_path_parent(&directory), "link"))
        look_at_revision(v->r, &digest, path.z);
    return check_goes_on(v->r->c);
}

static void check_revisions_of(void *ctx, enum rs_hash_alg alg)
{
    struct revisions v = {.r = ctx, .alg = alg};
    rs_path_revisions(&v.path, v.r->name, alg);
    check_scan(v.r->c, v.r->name, v.path.z, visit_revision, &v);
}

void check_revisions(struct repository *r)
{
    struct rs_path path;
    rs_path_revisions(&path, r->name, RS_SHA256);
    check_algorithms(r->c, r->name, rs_path_parent(&path), check_revisions_of, r);
}
