/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: a walk through the tree of repositories, parents before children, children in byte order. That is
 * registry:2's order (component by component). A directory counts as a repository if it has `_manifests`, as for
 * registry:3; 2.8 asks for `_layers` instead, which would also list repositories to which only blobs were pushed. A
 * manifest's push makes both.
 */
#include "registry/paths.h"
#include "registry/registry_priv.h"

struct walk {
    struct rs_registry *registry;
    rs_registry_visit *visit;
    void *ctx;
    struct rs_err *err;
    rs_rc rc;
    bool stopped; /* by the visitor, or by rc */
    size_t len;
    char name[RS_NAME_MAX + 1]; /* where we are */
};

static void walk_children(struct walk *w, rs_str after);

static rs_str here(const struct walk *w)
{
    return (rs_str){w->name, w->len};
}

static void fail(struct walk *w, rs_rc rc)
{
    w->rc = rc;
    w->stopped = true;
}

/* Goes down to a child; false, and nothing changed, if the longer name cannot be a repository's. */
static bool enter(struct walk *w, rs_str child)
{
    size_t slash = w->len > 0;
    if (child.len == 0 || child.len + slash > RS_NAME_MAX - w->len)
        return false;
    size_t len = w->len + slash + child.len;
    w->name[w->len] = '/';
    memcpy(w->name + w->len + slash, child.ptr, child.len);
    if (rs_name_check((rs_str){w->name, len}, NULL) != RS_OK)
        return false;
    w->len = len;
    return true;
}

static void show_if_repository(struct walk *w)
{
    struct rs_path path;
    struct rs_storage_stat st;
    rs_rc rc = rs_storage_stat(w->registry->storage, rs_path_manifests(&path, here(w)), &st, w->err);
    if (rc == RS_OK && st.is_directory)
        w->stopped = !w->visit(w->ctx, here(w));
    else if (rc != RS_OK && rc != RS_E_NOT_FOUND)
        fail(w, rc);
}

static bool visit_child(void *ctx, rs_str child, bool is_directory)
{
    struct walk *w = ctx;
    size_t len = w->len;
    if (!is_directory || !enter(w, child))
        return true;
    show_if_repository(w);
    if (!w->stopped)
        walk_children(w, (rs_str){NULL, 0});
    w->len = len;
    return !w->stopped;
}

/* All below the place where we are that follows `after`. */
static void walk_children(struct walk *w, rs_str after)
{
    struct rs_path path;
    rs_rc rc = rs_storage_list(w->registry->storage, rs_path_repository(&path, here(w)), after, visit_child, w, w->err);
    if (rc != RS_OK && rc != RS_E_NOT_FOUND)
        fail(w, rc);
}

/* What stands before `last` is skipped a subtree at a time: first what lies below last's first component (which itself
 * comes before last, or is last), then its later siblings. */
static void walk_after(struct walk *w, rs_str last)
{
    rs_str head, rest;
    rs_str_cut(last, '/', &head, &rest);
    size_t len = w->len;
    if (enter(w, head)) {
        if (rest.len > 0)
            walk_after(w, rest);
        else
            walk_children(w, rest);
        w->len = len;
    }
    if (!w->stopped)
        walk_children(w, head);
}

rs_rc rs_catalog_list(struct rs_registry *registry, rs_str last, rs_registry_visit *visit, void *ctx,
                      struct rs_err *err)
{
    struct walk w = {.registry = registry, .visit = visit, .ctx = ctx, .err = err};
    walk_after(&w, last);
    return w.rc;
}
