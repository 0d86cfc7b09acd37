/* SPDX-License-Identifier: Apache-2.0 */
#include "layout/walk.h"

struct walk {
    struct rs_storage *storage;
    rs_repository_visit *visit;
    void *ctx;
    struct rs_err *err;
    rs_rc rc;
    bool stopped;
    size_t len;
    char name[RS_NAME_MAX + 1]; /* of the directory where we are */
};

/* One directory: its parts are known when all of it has been seen. */
struct level {
    struct walk *walk;
    unsigned parts;
};

static unsigned part_of(rs_str child)
{
    if (rs_str_eq_c(child, "_layers"))
        return RS_PART_LAYERS;
    if (rs_str_eq_c(child, "_manifests"))
        return RS_PART_MANIFESTS;
    if (rs_str_eq_c(child, "_uploads"))
        return RS_PART_UPLOADS;
    return rs_str_eq_c(child, "_roadstead") ? RS_PART_OWN : 0;
}

static void walk_here(struct walk *w);

static bool visit_child(void *ctx, rs_str child, bool is_directory)
{
    struct level *level = ctx;
    struct walk *w = level->walk;
    size_t len = w->len;
    if (!is_directory)
        return true;
    level->parts |= len > 0 ? part_of(child) : 0;
    if (rs_name_enter(w->name, &w->len, child)) {
        walk_here(w);
        w->len = len;
    }
    return w->rc == RS_OK && !w->stopped;
}

static void walk_here(struct walk *w)
{
    struct rs_path path;
    struct level level = {w, 0};
    rs_path_repository(&path, (rs_str){w->name, w->len});
    rs_rc rc = rs_storage_scan(w->storage, path.z, visit_child, &level, w->err);
    if (rc != RS_OK && rc != RS_E_NOT_FOUND && w->rc == RS_OK)
        w->rc = rc;
    if (w->rc == RS_OK && !w->stopped && level.parts != 0)
        w->stopped = !w->visit(w->ctx, (rs_str){w->name, w->len}, level.parts);
}

rs_rc rs_repositories_walk_below(struct rs_storage *storage, rs_str name, rs_repository_visit *visit, void *ctx,
                                 struct rs_err *err)
{
    struct walk w = {.storage = storage, .visit = visit, .ctx = ctx, .err = err, .len = name.len};
    RS_ASSERT(rs_str_copy_z(name, w.name, sizeof w.name));
    walk_here(&w);
    return w.rc;
}

rs_rc rs_repositories_walk(struct rs_storage *storage, rs_repository_visit *visit, void *ctx, struct rs_err *err)
{
    return rs_repositories_walk_below(storage, RS_STR(""), visit, ctx, err);
}

struct digests {
    rs_digest_visit *visit;
    void *ctx;
    size_t prefix; /* "sha256:" */
    char text[RS_DIGEST_TEXT_MAX];
};

static bool visit_digest(void *ctx, rs_str hex, bool is_directory)
{
    struct digests *d = ctx;
    struct rs_digest digest;
    if (!is_directory || hex.len >= sizeof d->text - d->prefix)
        return true;
    memcpy(d->text + d->prefix, hex.ptr, hex.len);
    if (rs_digest_parse((rs_str){d->text, d->prefix + hex.len}, &digest, NULL) != RS_OK)
        return true;
    return d->visit(d->ctx, &digest);
}

rs_rc rs_digests_walk(struct rs_storage *storage, const char *path, enum rs_hash_alg alg, rs_digest_visit *visit,
                      void *ctx, struct rs_err *err)
{
    struct digests d = {.visit = visit, .ctx = ctx};
    d.prefix = (size_t)snprintf(d.text, sizeof d.text, "%s:", rs_hash_name(alg));
    rs_rc rc = rs_storage_scan(storage, path, visit_digest, &d, err);
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}
