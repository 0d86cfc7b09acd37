/* SPDX-License-Identifier: Apache-2.0 */
/* One repository: its links, its manifests, its tags, and whether there is anything in it. */
#include "upkeep/check_priv.h"

#define DEPTH_MAX 16
#define DANGLING_MAX ((size_t)64 * 1024 * 1024) /* bytes */
#define TAG_MAP_MAX ((size_t)256 * 1024 * 1024)

/* --- ghosts --- */

static bool visit_upload(void *ctx, rs_str uuid, bool is_directory)
{
    struct repository *r = ctx;
    (void)uuid;
    r->uploads += is_directory;
    return true;
}

static bool is_old_directory(const struct repository *r, const char *path)
{
    struct rs_storage_stat st;
    rs_rc rc = rs_storage_stat(r->c->storage, path, &st, NULL);
    return rc == RS_E_NOT_FOUND || (rc == RS_OK && check_is_old(r->c, st.mtime_s));
}

/* Somebody may be making it just now. */
static bool is_old(const struct repository *r)
{
    struct rs_path path;
    return is_old_directory(r, rs_path_layers(&path, r->name)) &&
           is_old_directory(r, rs_path_manifests(&path, r->name)) &&
           is_old_directory(r, rs_path_repository(&path, r->name));
}

struct pruning {
    struct check *c;
    const char *path;
    unsigned depth;
};

/* Removes the empty directories below, the deepest first, and the directory itself. */
static void prune_tree(struct check *c, const char *path, unsigned depth);

static bool visit_empty(void *ctx, rs_str name, bool is_directory)
{
    const struct pruning *p = ctx;
    char path[CHECK_TEXT_MAX];
    snprintf(path, sizeof path, "%s/" RS_STR_FMT, p->path, RS_STR_ARG(name));
    if (is_directory)
        prune_tree(p->c, path, p->depth + 1);
    return true;
}

static void prune_tree(struct check *c, const char *path, unsigned depth)
{
    struct pruning p = {c, path, depth};
    if (depth >= DEPTH_MAX)
        return;
    rs_storage_scan(c->storage, path, visit_empty, &p, NULL);
    rs_storage_prune(c->storage, path, 1, NULL, NULL);
}

static unsigned parts_of_name(rs_str name)
{
    unsigned n = 1;
    for (size_t i = 0; i < name.len; i++)
        n += name.ptr[i] == '/';
    return n;
}

/* The first push of a manifest makes _layers, and may find it gone now: registry:2.8 needs it. */
static rs_rc remake_layers(const struct repository *r, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    struct rs_storage *storage = r->c->storage;
    if (rs_storage_stat(storage, rs_path_manifests(&path, r->name), &st, NULL) != RS_OK)
        return RS_OK;
    RS_TRY(rs_storage_mkdir(storage, rs_path_layers(&path, r->name), NULL, err));
    return rs_err_set(err, RS_E_BUSY, "somebody pushes to it now");
}

static rs_rc remove_ghost(const struct repository *r, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage *storage = r->c->storage;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    prune_tree(r->c, rs_path_manifests(&path, r->name), 0);
    prune_tree(r->c, rs_path_layers(&path, r->name), 0);
    prune_tree(r->c, rs_path_uploads(&path, r->name), 0);
    rs_rc rc = rs_storage_prune(storage, rs_path_repository(&path, r->name), parts_of_name(r->name), &batch, err);
    RS_TRY(check_sync(r->c, &batch, rc, err));
    return remake_layers(r, err);
}

static void look_for_ghost(struct repository *r)
{
    struct rs_path path;
    struct rs_err err = {0};
    bool is_listed = (r->parts & (RS_PART_LAYERS | RS_PART_MANIFESTS)) != 0;
    if ((r->parts & RS_PART_UPLOADS) != 0)
        rs_storage_scan(r->c->storage, rs_path_uploads(&path, r->name), visit_upload, r, NULL);
    if (!is_listed || r->links + r->manifests + r->tags + r->uploads > 0 || !is_old(r))
        return;
    struct rs_finding f = {
        .kind = RS_FINDING_GHOST,
        .repository = r->name,
        .path = rs_str_c(rs_path_repository(&path, r->name)),
        .what = RS_STR("it is in the catalog, but holds no manifest, no blob, no tag and no upload"),
    };
    rs_rc rc = r->c->config->repair ? remove_ghost(r, &err) : RS_OK;
    check_tell_repair(r->c, &f, "would remove its empty directories", "removed its empty directories", rc, &err);
}

/* --- links --- */

/* What lies there is looked at under the lock of those who move it. */
static bool accept_broken(void *ctx, const rs_str *held)
{
    struct rs_digest found;
    const struct rs_digest *digest = ctx;
    if (held == NULL)
        return false;
    return rs_digest_parse(rs_str_trim(*held), &found, NULL) != RS_OK ||
           (found.alg == digest->alg && !rs_digest_eq(&found, digest));
}

rs_rc check_rewrite_link(struct check *c, const char *path, const struct rs_digest *digest, struct rs_err *err)
{
    struct rs_digest wanted = *digest;
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    rs_rc rc = rs_storage_replace(c->storage, path, rs_digest_str(digest), accept_broken, &wanted, &batch, err);
    return check_sync(c, &batch, rc == RS_E_PRECONDITION ? RS_OK : rc, err);
}

/* --- a repository --- */

static void release(struct repository *r)
{
    rs_buf_release(&r->dangling);
    rs_buf_release(&r->tag_map);
}

/* What cannot be understood may need anything. */
static uint64_t not_understood(const struct check *c)
{
    const uint64_t *n = c->counts->findings;
    return n[RS_FINDING_UNREADABLE] + n[RS_FINDING_UNKNOWN_MANIFEST];
}

void check_repository(struct check *c, rs_str name, unsigned parts)
{
    RS_AUTO(release) struct repository r = {.c = c, .name = name, .parts = parts};
    uint64_t riddles = not_understood(c), strays = c->counts->findings[RS_FINDING_STRAY];
    rs_buf_init(&r.dangling, DANGLING_MAX);
    rs_buf_init(&r.tag_map, TAG_MAP_MAX);
    c->counts->repositories += (parts & (RS_PART_LAYERS | RS_PART_MANIFESTS)) != 0;
    if ((parts & RS_PART_LAYERS) != 0)
        check_layers(&r);
    if ((parts & RS_PART_MANIFESTS) != 0 && check_goes_on(c))
        check_revisions(&r);
    if ((parts & RS_PART_MANIFESTS) != 0 && check_goes_on(c))
        check_tags(&r);
    if (!check_goes_on(c) || riddles != not_understood(c))
        return;
    check_dangling_links(&r);
    if (strays == c->counts->findings[RS_FINDING_STRAY])
        look_for_ghost(&r);
}
