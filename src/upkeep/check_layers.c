/* SPDX-License-Identifier: Apache-2.0 */
/* The links of a repository's blobs. */
#include "layout/link.h"
#include "upkeep/check_priv.h"

struct layers {
    struct repository *r;
    enum rs_hash_alg alg;
    struct rs_path path; /* of the directory of all */
};

/* A link of sha512 may hold a sha256: registry:2's aliases. */
static bool is_another(const struct rs_digest *held, const struct rs_digest *digest)
{
    return held->alg == digest->alg && !rs_digest_eq(held, digest);
}

/* --- links that hold something else --- */

/* Its blob is there. */
static void tell_broken(struct repository *r, const struct rs_digest *digest, const char *path,
                        const struct rs_err *why)
{
    struct check *c = r->c;
    struct rs_err err = {0};
    struct rs_finding f = {
        .kind = RS_FINDING_BROKEN_LINK,
        .repository = r->name,
        .subject = rs_digest_str(digest),
        .path = rs_str_c(path),
        .what = rs_str_c(why->text),
    };
    if (!check_is_whole(c, digest)) {
        f.action = RS_STR("its blob is not whole, so that it cannot be written anew: push it again");
        check_tell(c, &f);
        return;
    }
    rs_rc rc = c->config->repair ? check_rewrite_link(c, path, digest, &err) : RS_OK;
    check_tell_repair(c, &f, "would write it anew, as its blob is whole", "wrote it anew, as its blob is whole", rc,
                      &err);
}

/* --- links whose data is missing --- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct check_dangling *)a)->digest.text, ((const struct check_dangling *)b)->digest.text);
}

struct check_dangling *check_find_dangling(struct repository *r, const struct rs_digest *digest)
{
    const struct check_dangling key = {.digest = *digest};
    if (r->dangling.len == 0)
        return NULL;
    return bsearch(&key, r->dangling.ptr, r->dangling.len / sizeof key, sizeof key, compare);
}

/* LOOK AGAIN, see check.c. */
static rs_rc unlink_dangling(struct repository *r, const struct rs_digest *digest, const struct rs_digest *target,
                             const char *path, struct rs_err *err)
{
    struct rs_path data, parent;
    struct rs_storage_stat st;
    struct rs_storage *storage = r->c->storage;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    rs_path_blob(&data, target);
    rs_rc rc = rs_link_remove(storage, path, target, &batch, err);
    if (rc == RS_E_NOT_FOUND || rc == RS_E_PRECONDITION)
        return RS_OK; /* somebody else was here */
    RS_TRY(rc);
    if (rs_storage_stat(storage, data.z, &st, NULL) != RS_E_NOT_FOUND)
        rc = rs_link_ensure(storage, path, target, &batch, NULL, err);
    rs_path_layer_link(&parent, r->name, digest);
    rs_storage_prune(storage, rs_path_parent(&parent), 1, NULL, NULL);
    return check_sync(r->c, &batch, rc, err);
}

/* It is still as it was, and not a push that goes on. *out_broken: it holds no digest, but whatever it holds. */
static bool still_dangles(struct repository *r, const char *path, const struct rs_digest *digest,
                          struct rs_digest *out_target, bool *out_broken)
{
    struct rs_path data;
    struct rs_storage_stat st;
    struct rs_storage *storage = r->c->storage;
    if (rs_storage_stat(storage, path, &st, NULL) != RS_OK || !check_is_old(r->c, st.mtime_s))
        return false;
    rs_rc rc = rs_link_read(storage, path, out_target, NULL);
    *out_broken = rc == RS_E_CORRUPT || (rc == RS_OK && is_another(out_target, digest));
    if (*out_broken)
        *out_target = *digest;
    rs_path_blob(&data, out_target);
    return (rc == RS_OK || *out_broken) && rs_storage_stat(storage, data.z, &st, NULL) == RS_E_NOT_FOUND;
}

static void tell_useless(struct repository *r, const struct rs_digest *digest, struct rs_finding *f, const char *path)
{
    struct rs_path to;
    struct rs_err err = {0};
    char done[CHECK_TEXT_MAX];
    f->kind = RS_FINDING_BROKEN_LINK;
    f->what = RS_STR("it holds no digest of its own, its blob is not in the registry, and no manifest needs it");
    check_quarantine_path("links", rs_str_c(rs_digest_hex(digest)), &to);
    rs_rc rc = r->c->config->repair ? check_quarantine(r->c, path, &to, f->what.ptr, &err) : RS_OK;
    r->links -= r->c->config->repair && rc == RS_OK;
    snprintf(done, sizeof done, "moved it to %s", to.z);
    check_tell_repair(r->c, f, "would move it to the quarantine", done, rc, &err);
}

static void tell_dangling(struct repository *r, const struct rs_digest *digest)
{
    struct rs_path path;
    struct rs_digest target;
    bool broken;
    struct rs_err err = {0};
    rs_path_layer_link(&path, r->name, digest);
    if (!still_dangles(r, path.z, digest, &target, &broken))
        return;
    struct rs_finding f = {
        .kind = RS_FINDING_DANGLING_LINK,
        .repository = r->name,
        .subject = rs_digest_str(digest),
        .path = rs_str_c(path.z),
        .what = RS_STR("it leads to a blob that is not in the registry; no manifest of the repository needs it"),
    };
    if (broken) {
        tell_useless(r, digest, &f, path.z);
        return;
    }
    rs_rc rc = r->c->config->repair ? unlink_dangling(r, digest, &target, path.z, &err) : RS_OK;
    r->links -= r->c->config->repair && rc == RS_OK;
    check_tell_repair(r->c, &f, "would remove it", "removed it", rc, &err);
}

void check_dangling_links(struct repository *r)
{
    const struct check_dangling *all = (const struct check_dangling *)(const void *)r->dangling.ptr;
    for (size_t i = 0; i < r->dangling.len / sizeof *all && check_goes_on(r->c); i++)
        if (!all[i].needed)
            tell_dangling(r, &all[i].digest);
}

/* --- all of them --- */

/* There may be more than we remember: the rest is found by the next check. */
static void note_dangling(struct repository *r, const struct rs_digest *digest)
{
    const struct check_dangling entry = {.digest = *digest};
    rs_buf_append(&r->dangling, &entry, sizeof entry);
}

static void look_at_link(struct repository *r, const struct rs_digest *digest, const char *path)
{
    struct rs_path data;
    struct rs_digest target;
    struct rs_storage_stat st;
    struct rs_err err = {0};
    rs_rc rc = rs_link_read(r->c->storage, path, &target, &err);
    if (rc == RS_E_NOT_FOUND)
        return;
    r->links++;
    r->c->counts->layer_links++;
    if (rc == RS_OK && is_another(&target, digest))
        rc = rs_err_set(&err, RS_E_CORRUPT, "it holds another digest, %s", target.text);
    if (rc != RS_OK)
        target = *digest;
    check_seen_linked(r->c->seen, &target);
    rs_path_blob(&data, &target);
    if (rs_storage_stat(r->c->storage, data.z, &st, NULL) == RS_E_NOT_FOUND)
        note_dangling(r, digest);
    else if (rc == RS_E_CORRUPT)
        tell_broken(r, digest, path, &err);
    if (rc != RS_OK && rc != RS_E_CORRUPT)
        check_failed(r->c, r->name, path, rc, &err);
}

static bool visit_link(void *ctx, rs_str name, bool is_directory)
{
    const struct layers *l = ctx;
    struct rs_digest digest;
    struct rs_path path, directory;
    if (!check_digest_name(l->r->c, l->r->name, l->path.z, l->alg, name, is_directory, &digest))
        return true;
    rs_path_layer_link(&path, l->r->name, &digest);
    directory = path;
    if (check_leaf(l->r->c, l->r->name, rs_path_parent(&directory), "link"))
        look_at_link(l->r, &digest, path.z);
    return check_goes_on(l->r->c);
}

static void check_links_of(void *ctx, enum rs_hash_alg alg)
{
    struct layers l = {.r = ctx, .alg = alg};
    rs_path_layer_links(&l.path, l.r->name, alg);
    check_scan(l.r->c, l.r->name, l.path.z, visit_link, &l);
}

void check_layers(struct repository *r)
{
    struct rs_path path;
    check_algorithms(r->c, r->name, rs_path_layers(&path, r->name), check_links_of, r);
    if (r->dangling.len > 0)
        qsort(r->dangling.ptr, r->dangling.len / sizeof(struct check_dangling), sizeof(struct check_dangling), compare);
}
