/* SPDX-License-Identifier: Apache-2.0 */
/* The tags of a repository: what they point to, and what is left of those that were never finished. */
#include "layout/link.h"
#include "registry/manifest.h"
#include "upkeep/check_priv.h"

#define TOLD_TAGS 8
#define TAG_LEVELS 2 /* tags/<tag>/current */

/* --- which tags point to a manifest --- */

/* A tag whose link cannot be read points to nothing. */
static bool note_tag(void *ctx, rs_str name, bool is_directory)
{
    struct repository *r = ctx;
    struct rs_path path;
    struct rs_digest digest;
    if (!is_directory || rs_tag_check(name, NULL) != RS_OK)
        return true;
    rs_path_tag_current(&path, r->name, name);
    if (rs_link_read(r->c->storage, path.z, &digest, NULL) == RS_OK)
        rs_buf_printf(&r->tag_map, "%s " RS_STR_FMT "\n", digest.text, RS_STR_ARG(name));
    return check_goes_on(r->c);
}

static void make_tag_map(struct repository *r)
{
    struct rs_path path;
    r->has_tag_map = true;
    rs_storage_scan(r->c->storage, rs_path_tags(&path, r->name), note_tag, r, NULL);
}

void check_tags_of(struct repository *r, const struct rs_digest *digest, struct rs_buf *out)
{
    rs_str line, rest;
    unsigned n = 0;
    if (!r->has_tag_map)
        make_tag_map(r);
    for (rest = rs_buf_str(&r->tag_map); rest.len > 0;) {
        rs_str_cut(rest, '\n', &line, &rest);
        size_t len = rs_digest_str(digest).len;
        if (line.len <= len || !rs_str_starts(line, rs_digest_str(digest)))
            continue;
        line = rs_str_from(line, len + 1);
        if (n++ < TOLD_TAGS)
            rs_buf_printf(out, "%s" RS_STR_FMT, n == 1 ? "tags that point to it: " : ", ", RS_STR_ARG(line));
    }
    if (n == 0)
        rs_buf_add_c(out, "no tag points to it");
    else if (n > TOLD_TAGS)
        rs_buf_printf(out, " and %u more", n - TOLD_TAGS);
}

/* --- taking a tag away --- */

/* What is left of a tag whose link is gone: a history that nobody needs, and directories. */
static rs_rc remove_rest(struct repository *r, rs_str tag, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct rs_path path;
    rs_path_tag_indexes(&path, r->name, tag, RS_SHA256);
    RS_TRY(rs_storage_remove(r->c->storage, rs_path_parent(&path), NULL, err));
    rs_path_tag_current(&path, r->name, tag);
    return rs_storage_prune(r->c->storage, rs_path_parent(&path), TAG_LEVELS, batch, err);
}

static bool accept_none(void *ctx, const struct rs_digest *held)
{
    (void)ctx;
    return held == NULL;
}

/* LOOK AGAIN, see check.c: a push makes the revision and then the tag. */
static rs_rc restore_tag(struct repository *r, const char *path, const struct rs_digest *digest,
                         struct rs_storage_batch *batch, bool *out_restored, struct rs_err *err)
{
    struct rs_path revision;
    struct rs_storage_stat st;
    const struct rs_link_guard guard = {accept_none, NULL};
    rs_path_revision_link(&revision, r->name, digest);
    *out_restored = rs_storage_stat(r->c->storage, revision.z, &st, NULL) != RS_E_NOT_FOUND;
    if (!*out_restored)
        return RS_OK;
    rs_rc rc = rs_link_swap(r->c->storage, path, digest, &guard, batch, err);
    return rc == RS_E_PRECONDITION ? RS_OK : rc;
}

static rs_rc write_copy(struct check *c, const struct rs_path *to, const char *path, const struct rs_digest *digest,
                        const char *why, struct rs_storage_batch *batch, struct rs_err *err)
{
    char text[CHECK_TEXT_MAX * 2];
    snprintf(text, sizeof text, "%s\nwas: %s\nwhy: %s\n", digest->text, path, why);
    return rs_storage_put(c->storage, to->z, rs_str_c(text), batch, err);
}

/* RS_E_EXISTS: it is fine by now. */
static rs_rc unset_tag(struct repository *r, rs_str tag, const struct rs_digest *digest, const char *path,
                       const char *why, const struct rs_path *to, struct rs_err *err)
{
    bool restored;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    RS_TRY(write_copy(r->c, to, path, digest, why, &batch, err));
    rs_rc rc = rs_link_remove(r->c->storage, path, digest, &batch, err);
    if (rc == RS_OK)
        rc = restore_tag(r, path, digest, &batch, &restored, err);
    else
        restored = rc == RS_E_NOT_FOUND || rc == RS_E_PRECONDITION; /* moved on, or removed */
    if (restored) {
        rs_storage_remove(r->c->storage, to->z, NULL, NULL);
        return check_sync(r->c, &batch, RS_OK, err) == RS_OK ? RS_E_EXISTS : err->rc;
    }
    if (rc == RS_OK)
        rc = remove_rest(r, tag, &batch, err);
    return check_sync(r->c, &batch, rc, err);
}

/* --- a tag that leads nowhere --- */

/* Nothing but its own push would make it whole again, so it is made by that: all checks, all orders. */
static rs_rc push_again(struct repository *r, const struct rs_digest *digest, struct rs_err *err)
{
    struct rs_path data;
    struct rs_digest ignored;
    RS_AUTO(rs_buf_release) struct rs_buf bytes;
    rs_buf_init(&bytes, RS_MANIFEST_MAX);
    RS_TRY(rs_storage_read(r->c->storage, rs_path_blob(&data, digest), &bytes, err));
    const struct rs_manifest_put put = {
        .repository = r->name, .reference = {.is_digest = true, .digest = *digest}, .bytes = rs_buf_str(&bytes)};
    return rs_manifest_put(r->c->config->registry, &put, &ignored, err);
}

static void tell_no_revision(struct repository *r, rs_str tag, const struct rs_digest *digest, const char *path)
{
    struct rs_err err = {0};
    struct rs_path to;
    char what[CHECK_TEXT_MAX], done[CHECK_TEXT_MAX];
    struct rs_finding f = {
        .kind = RS_FINDING_BROKEN_TAG, .repository = r->name, .subject = tag, .path = rs_str_c(path)};
    rs_rc rc = RS_OK;
    if (check_is_whole(r->c, digest)) {
        snprintf(what, sizeof what, "it points to %s, which is in the registry but not in the repository",
                 digest->text);
        f.what = rs_str_c(what);
        rc = r->c->config->repair ? push_again(r, digest, &err) : RS_OK;
        check_tell_repair(r->c, &f, "would link the manifest, if all that it needs is there", "linked the manifest", rc,
                          &err);
        return;
    }
    snprintf(what, sizeof what, "it points to %s, which is not in the registry", digest->text);
    f.what = rs_str_c(what);
    check_quarantine_path("tags", tag, &to);
    rc = r->c->config->repair ? unset_tag(r, tag, digest, path, what, &to, &err) : RS_OK;
    if (rc == RS_E_EXISTS)
        return;
    r->tags -= r->c->config->repair && rc == RS_OK;
    snprintf(done, sizeof done, "moved it to %s: push %s again", to.z, digest->text);
    check_tell_repair(r->c, &f, "would move it to the quarantine, as it cannot be pulled", done, rc, &err);
}

/* --- a tag whose link holds no digest --- */

struct history {
    struct rs_digest last;
    size_t count;
};

static bool note_history(void *ctx, const struct rs_digest *digest)
{
    struct history *h = ctx;
    h->last = *digest;
    return ++h->count < 2;
}

/* Its history may hold a single manifest, which is still there. */
static bool single_of(struct repository *r, rs_str tag, struct rs_digest *out)
{
    struct history h = {.count = 0};
    struct rs_path path;
    struct rs_storage_stat st;
    for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
        rs_path_tag_indexes(&path, r->name, tag, (enum rs_hash_alg)alg);
        if (rs_digests_walk(r->c->storage, path.z, (enum rs_hash_alg)alg, note_history, &h, NULL) != RS_OK)
            return false;
    }
    *out = h.last;
    return h.count == 1 &&
           rs_storage_stat(r->c->storage, rs_path_revision_link(&path, r->name, out), &st, NULL) == RS_OK;
}

/* RS_E_EXISTS: it was set meanwhile, and is back. */
static rs_rc move_text(struct repository *r, rs_str tag, const char *path, const char *why, const struct rs_path *to,
                       struct rs_err *err)
{
    struct rs_digest held;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    RS_TRY(check_quarantine(r->c, path, to, why, err));
    if (rs_link_read(r->c->storage, to->z, &held, NULL) == RS_OK) {
        rs_rc rc = check_put_back(r->c, to, path, err);
        return rc == RS_OK ? RS_E_EXISTS : rc;
    }
    return check_sync(r->c, &batch, remove_rest(r, tag, &batch, err), err);
}

static void tell_broken(struct repository *r, rs_str tag, const char *path, const struct rs_err *why)
{
    struct rs_digest single;
    struct rs_err err = {0};
    struct rs_path to;
    char done[CHECK_TEXT_MAX];
    rs_rc rc = RS_OK;
    struct rs_finding f = {.kind = RS_FINDING_BROKEN_TAG,
                           .repository = r->name,
                           .subject = tag,
                           .path = rs_str_c(path),
                           .what = rs_str_c(why->text)};
    if (single_of(r, tag, &single)) {
        rc = r->c->config->repair ? check_rewrite_link(r->c, path, &single, &err) : RS_OK;
        snprintf(done, sizeof done, "pointed it to %s, the only manifest that it ever had", single.text);
        check_tell_repair(r->c, &f, "would point it to the only manifest that it ever had", done, rc, &err);
        return;
    }
    check_quarantine_path("tags", tag, &to);
    rc = r->c->config->repair ? move_text(r, tag, path, why->text, &to, &err) : RS_OK;
    if (rc == RS_E_EXISTS)
        return;
    r->tags -= r->c->config->repair && rc == RS_OK;
    snprintf(done, sizeof done, "moved it to %s: push it again", to.z);
    check_tell_repair(r->c, &f, "would move it to the quarantine, as it points to nothing", done, rc, &err);
}

/* --- a tag without a link --- */

/* A push writes the history first. */
static void tell_unfinished(struct repository *r, rs_str tag, const char *directory)
{
    struct rs_err err = {0};
    struct rs_storage_stat st;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    if (rs_storage_stat(r->c->storage, directory, &st, NULL) != RS_OK || !check_is_old(r->c, st.mtime_s))
        return;
    struct rs_finding f = {.kind = RS_FINDING_UNFINISHED_TAG,
                           .repository = r->name,
                           .subject = tag,
                           .path = rs_str_c(directory),
                           .what = RS_STR("it is in the list of tags, but was never set, or not wholly deleted")};
    rs_rc rc = r->c->config->repair ? check_sync(r->c, &batch, remove_rest(r, tag, &batch, &err), &err) : RS_OK;
    r->tags -= r->c->config->repair && rc == RS_OK;
    check_tell_repair(r->c, &f, "would remove what is left of it", "removed what was left of it", rc, &err);
}

/* --- all of them --- */

struct parts {
    struct repository *r;
    const char *directory;
    bool has_index;
    bool has_current;
};

static bool visit_part(void *ctx, rs_str name, bool is_directory)
{
    struct parts *p = ctx;
    if (is_directory && rs_str_eq_c(name, "index"))
        p->has_index = true;
    else if (is_directory && rs_str_eq_c(name, "current"))
        p->has_current = true;
    else
        check_odd(p->r->c, p->r->name, p->directory, name, is_directory);
    return true;
}

static void look_at_tag_link(struct repository *r, rs_str tag, const char *path)
{
    struct rs_path revision;
    struct rs_digest digest, again;
    struct rs_storage_stat st;
    struct rs_err err = {0};
    rs_rc rc = rs_link_read(r->c->storage, path, &digest, &err);
    if (rc == RS_E_NOT_FOUND)
        return;
    if (rc == RS_E_CORRUPT)
        tell_broken(r, tag, path, &err);
    else if (rc != RS_OK)
        check_failed(r->c, r->name, path, rc, &err);
    if (rc != RS_OK ||
        rs_storage_stat(r->c->storage, rs_path_revision_link(&revision, r->name, &digest), &st, &err) != RS_E_NOT_FOUND)
        return;
    if (rs_link_read(r->c->storage, path, &again, NULL) == RS_OK && rs_digest_eq(&again, &digest))
        tell_no_revision(r, tag, &digest, path);
}

/* Nobody needs the history, but writes may have been cut short there. */
struct history_walk {
    struct repository *r;
    rs_str tag;
    enum rs_hash_alg alg;
    struct rs_path path;
};

static bool visit_history(void *ctx, rs_str name, bool is_directory)
{
    const struct history_walk *h = ctx;
    struct rs_path path;
    struct rs_digest digest;
    if (!check_digest_name(h->r->c, h->r->name, h->path.z, h->alg, name, is_directory, &digest))
        return true;
    rs_path_tag_index(&path, h->r->name, h->tag, &digest);
    check_leaf(h->r->c, h->r->name, rs_path_parent(&path), "link");
    return check_goes_on(h->r->c);
}

static void check_history_of(void *ctx, enum rs_hash_alg alg)
{
    struct history_walk *h = ctx;
    h->alg = alg;
    rs_path_tag_indexes(&h->path, h->r->name, h->tag, alg);
    check_scan(h->r->c, h->r->name, h->path.z, visit_history, h);
}

static void check_history(struct repository *r, rs_str tag)
{
    struct rs_path path;
    struct history_walk h = {.r = r, .tag = tag};
    rs_path_tag_indexes(&path, r->name, tag, RS_SHA256);
    check_algorithms(r->c, r->name, rs_path_parent(&path), check_history_of, &h);
}

static void look_at_tag(struct repository *r, rs_str tag)
{
    struct rs_path path, current, directory;
    rs_path_tag_current(&path, r->name, tag);
    current = path;
    rs_path_parent(&current);
    directory = current;
    struct parts parts = {.r = r, .directory = rs_path_parent(&directory)};
    check_scan(r->c, r->name, directory.z, visit_part, &parts);
    r->tags++;
    r->c->counts->tags++;
    if (parts.has_index)
        check_history(r, tag);
    if (parts.has_current && check_leaf(r->c, r->name, current.z, "link"))
        look_at_tag_link(r, tag, path.z);
    else
        tell_unfinished(r, tag, directory.z);
}

static bool visit_tag(void *ctx, rs_str name, bool is_directory)
{
    struct repository *r = ctx;
    struct rs_path path;
    if (is_directory && rs_tag_check(name, NULL) == RS_OK)
        look_at_tag(r, name);
    else
        check_odd(r->c, r->name, rs_path_tags(&path, r->name), name, is_directory);
    return check_goes_on(r->c);
}

void check_tags(struct repository *r)
{
    struct rs_path path;
    check_scan(r->c, r->name, rs_path_tags(&path, r->name), visit_tag, r);
}
