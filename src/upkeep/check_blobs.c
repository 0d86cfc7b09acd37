/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SETTING ASIDE. A blob whose bytes have another digest is renamed into quarantine. Between the reading and the rename
 * a push may put a whole one in its place (one of another length: publish replaces; a manifest: put does). So the file
 * is looked at again right before the rename, and what was renamed is hashed once more behind it: a whole one is put
 * back. In the microseconds between a pull may be told that there is no such blob. A push that meets the corrupt file
 * while it still has its place takes it for its own blob if it has the same length, as any push before this check did;
 * that blob was corrupt before and is missing now, which clients see, and push it again.
 *
 * A file that was changed less than YOUNG_S ago may be one that a registry:2 is writing in place: it is read again a
 * little later.
 */
#include "base/clock.h"
#include "upkeep/check_priv.h"

#define YOUNG_S 3
#define ATTEMPTS 5

struct blobs {
    struct check *c;
    enum rs_hash_alg alg;
    struct rs_path path; /* of the directory where we are */
};

/* --- one that is corrupt --- */

static void describe(struct check *c, const char *path, const struct rs_digest *found, char what[CHECK_TEXT_MAX])
{
    struct rs_storage_stat st = {0};
    rs_storage_stat(c->storage, path, &st, NULL);
    if (st.size == 0)
        snprintf(what, CHECK_TEXT_MAX, "the file is empty");
    else
        snprintf(what, CHECK_TEXT_MAX, "its %llu bytes have the digest %s", (unsigned long long)st.size, found->text);
}

/* RS_E_EXISTS: it was whole after all, and is back (or a new one is there). */
static rs_rc set_aside(struct check *c, const char *path, const struct rs_digest *digest, const char *what,
                       const struct rs_path *to, struct rs_err *err)
{
    struct rs_digest found;
    RS_TRY(check_quarantine(c, path, to, what, err));
    if (check_hash(c, to->z, digest, &found, err) != CHECK_WHOLE)
        return RS_OK;
    rs_rc rc = check_put_back(c, to, path, err);
    if (rc == RS_OK || rc == RS_E_EXISTS)
        return rs_err_set(err, RS_E_EXISTS, "a whole one was pushed meanwhile");
    return rs_err_wrap(err, "a whole blob lies at %s now, and must be moved back to %s", to->z, path);
}

static enum check_state mend(struct check *c, struct rs_finding *f, const struct rs_digest *digest, const char *path)
{
    struct rs_path to;
    struct rs_err err = {0};
    char done[CHECK_TEXT_MAX], what[CHECK_TEXT_MAX];
    snprintf(what, sizeof what, RS_STR_FMT, RS_STR_ARG(f->what));
    check_quarantine_path(rs_hash_name(digest->alg), rs_str_c(rs_digest_hex(digest)), &to);
    rs_rc rc = c->config->repair ? set_aside(c, path, digest, what, &to, &err) : RS_OK;
    if (rc == RS_E_EXISTS)
        return CHECK_WHOLE;
    snprintf(done, sizeof done, "moved it to %s", to.z);
    check_tell_repair(c, f, "would move it to the quarantine, so that it can be pushed again", done, rc, &err);
    if (!c->config->repair || rc != RS_OK)
        return CHECK_CORRUPT;
    rs_path_blob(&to, digest);
    rs_storage_prune(c->storage, rs_path_parent(&to), 2, NULL, NULL);
    check_seen_gone(c->seen, digest);
    return CHECK_GONE;
}

/* --- one blob --- */

/* It has changed since it was read, or only just before. */
static bool may_change(struct check *c, const char *path, const struct rs_storage_stat *before)
{
    struct rs_storage_stat st;
    if (rs_storage_stat(c->storage, path, &st, NULL) != RS_OK)
        return true;
    int64_t age = rs_wall_s() - st.mtime_s;
    return (age < YOUNG_S && age > -YOUNG_S) || st.size != before->size || st.mtime_s != before->mtime_s ||
           (before->stamp != 0 && st.stamp != before->stamp);
}

static void pause_s(struct check *c, int seconds)
{
    int64_t end_ms = rs_mono_ms() + seconds * 1000;
    while (rs_mono_ms() < end_ms && check_goes_on(c))
        rs_sleep_ms(100);
}

/* Reads it until it stays the same. */
static enum check_state hash_settled(struct check *c, const char *path, const struct rs_digest *digest,
                                     struct rs_digest *out_found, struct rs_err *err)
{
    for (int attempt = 0;; attempt++) {
        struct rs_storage_stat before = {0};
        rs_rc rc = rs_storage_stat(c->storage, path, &before, err);
        if (rc != RS_OK)
            return rc == RS_E_NOT_FOUND ? CHECK_GONE : CHECK_UNKNOWN;
        enum check_state state = check_hash(c, path, digest, out_found, err);
        if (state != CHECK_CORRUPT || attempt == ATTEMPTS || !check_goes_on(c) || !may_change(c, path, &before))
            return state;
        pause_s(c, 1);
    }
}

enum check_state check_blob(struct check *c, const struct rs_digest *digest)
{
    struct rs_path path;
    struct rs_digest found;
    struct rs_err err = {0};
    char what[CHECK_TEXT_MAX];
    rs_path_blob(&path, digest);
    enum check_state state = hash_settled(c, path.z, digest, &found, &err);
    c->counts->hashed_blobs += state == CHECK_WHOLE || state == CHECK_CORRUPT;
    if (state == CHECK_UNKNOWN && check_goes_on(c))
        check_failed(c, (rs_str){0}, path.z, RS_E_IO, &err);
    if (state != CHECK_CORRUPT)
        return state;
    describe(c, path.z, &found, what);
    check_seen_corrupt(c->seen, digest);
    struct rs_finding f = {.kind = RS_FINDING_CORRUPT_BLOB,
                           .subject = rs_digest_str(digest),
                           .path = rs_str_c(path.z),
                           .what = rs_str_c(what)};
    return mend(c, &f, digest, path.z);
}

/* --- all of them --- */

static void look_at_data(struct check *c, const struct rs_digest *digest, const char *path)
{
    struct rs_storage_stat st;
    struct rs_err err;
    rs_rc rc = rs_storage_stat(c->storage, path, &st, &err);
    if (rc != RS_OK) {
        check_failed(c, (rs_str){0}, path, rc, &err);
        return;
    }
    c->counts->blobs++;
    c->counts->blob_bytes += st.size;
    check_seen_blob(c->seen, digest, st.size);
    if (c->config->hash)
        check_blob(c, digest);
}

static void look_at_blob(struct check *c, const struct rs_digest *digest)
{
    struct rs_path data, directory;
    rs_path_blob(&data, digest);
    directory = data;
    if (check_leaf(c, (rs_str){0}, rs_path_parent(&directory), "data"))
        look_at_data(c, digest, data.z);
}

static bool visit_blob(void *ctx, rs_str name, bool is_directory)
{
    const struct blobs *b = ctx;
    struct rs_digest digest;
    rs_str prefix = rs_str_sub(rs_str_c(b->path.z), b->path.len - 2, 2);
    if (!rs_str_starts(name, prefix))
        check_odd(b->c, (rs_str){0}, b->path.z, name, is_directory);
    else if (check_digest_name(b->c, (rs_str){0}, b->path.z, b->alg, name, is_directory, &digest))
        look_at_blob(b->c, &digest);
    return check_goes_on(b->c);
}

static bool visit_prefix(void *ctx, rs_str name, bool is_directory)
{
    const struct blobs *b = ctx;
    uint8_t ignored;
    struct blobs below = {.c = b->c, .alg = b->alg};
    if (!is_directory || !rs_hex_decode(name, &ignored, 1)) {
        check_odd(b->c, (rs_str){0}, b->path.z, name, is_directory);
        return true;
    }
    rs_path_blobs(&below.path, b->alg, name);
    check_scan(b->c, (rs_str){0}, below.path.z, visit_blob, &below);
    return check_goes_on(b->c);
}

static void check_blobs_of(void *ctx, enum rs_hash_alg alg)
{
    struct blobs b = {.c = ctx, .alg = alg};
    rs_path_blobs(&b.path, alg, (rs_str){0});
    check_scan(b.c, (rs_str){0}, b.path.z, visit_prefix, &b);
}

void check_blobs(struct check *c)
{
    struct rs_path path;
    rs_path_blobs(&path, RS_SHA256, (rs_str){0});
    check_algorithms(c, (rs_str){0}, rs_path_parent(&path), check_blobs_of, c);
}
