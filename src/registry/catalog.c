/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: a walk through the tree of repositories, parents before children, children in byte order. That is
 * registry:2's order (component by component). A directory counts as a repository if it has `_manifests`, as for
 * registry:3; 2.8 asks for `_layers` instead, which would also list repositories to which only blobs were pushed. A
 * manifest's push makes both.
 *
 * Each level is a reading of children (children.h). What was found out about a child is noted there: whether it is a
 * repository, and whether anything below it may be one. Both follow from the names in the child's own directory, so the
 * note holds that directory's stamp and is believed as long as it stays the same. A walk thus costs one look at each
 * directory that it passes, however many there are beside.
 */
#include "layout/paths.h"
#include "registry/registry_priv.h"

/* What is known of a directory; the lowest bits of a note. */
#define IS_REPOSITORY 1u
#define HAS_CHILDREN 2u
#define FACTS 3u

struct walk {
    struct rs_registry *registry;
    rs_registry_visit *visit;
    void *ctx;
    struct rs_err *err;
    rs_rc rc;
    bool stopped; /* by the visitor, or by rc */
    size_t len;
    char name[RS_NAME_MAX + 1]; /* where we are */
    struct rs_path path;        /* of what is being looked at; here, since the walk may go 128 levels deep */
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

/* --- facts --- */

struct facts {
    bool repository;
    bool child; /* one that may be a repository, or lead to one */
};

static bool look_at_child(void *ctx, rs_str name, bool is_directory)
{
    struct facts *facts = ctx;
    if (is_directory && rs_str_eq(name, RS_STR("_manifests")))
        facts->repository = true;
    else if (is_directory && rs_name_check(name, NULL) == RS_OK)
        facts->child = true;
    return !facts->child; /* there may be many more */
}

static uint64_t find_out(struct walk *w)
{
    struct rs_storage *storage = w->registry->storage;
    struct rs_storage_stat st;
    struct facts facts = {false, false};
    rs_rc rc = rs_storage_scan(storage, rs_path_repository(&w->path, here(w)), look_at_child, &facts, w->err);
    if (rc == RS_OK && facts.child && !facts.repository) {
        rc = rs_storage_stat(storage, rs_path_manifests(&w->path, here(w)), &st, w->err);
        facts.repository = rc == RS_OK && st.is_directory;
    }
    if (rc != RS_OK && rc != RS_E_NOT_FOUND)
        fail(w, rc);
    return (facts.repository ? IS_REPOSITORY : 0) | (facts.child ? HAS_CHILDREN : 0);
}

/* The stamp's bits are mixed, since two of them must make room: other stamps give other notes. */
static uint64_t note_of(uint64_t stamp)
{
    stamp *= UINT64_C(0x9e3779b97f4a7c15);
    return (stamp ^ stamp >> 32) & ~(uint64_t)FACTS;
}

/* Of the directory where we are, child i of c. Its stamp is taken before anything is found out: if it changes
 * meanwhile, the note will not be believed. */
static uint64_t facts_of(struct walk *w, struct rs_children *c, size_t i)
{
    struct rs_storage_stat st;
    rs_rc rc = rs_storage_stat(w->registry->storage, rs_path_repository(&w->path, here(w)), &st, w->err);
    if (rc != RS_OK) {
        if (rc != RS_E_NOT_FOUND)
            fail(w, rc);
        return 0;
    }
    uint64_t note = rs_children_note(c, i);
    if (st.stamp != 0 && note != 0 && (note & ~(uint64_t)FACTS) == note_of(st.stamp))
        return note & FACTS;
    uint64_t facts = find_out(w);
    if (st.stamp != 0 && !w->stopped)
        rs_children_set_note(c, i, note_of(st.stamp) | facts);
    return facts;
}

/* --- the walk --- */

static void visit_child(struct walk *w, struct rs_children *c, size_t i)
{
    uint64_t facts = facts_of(w, c, i);
    if (!w->stopped && (facts & IS_REPOSITORY) != 0)
        w->stopped = !w->visit(w->ctx, here(w));
    if (!w->stopped && (facts & HAS_CHILDREN) != 0)
        walk_children(w, (rs_str){NULL, 0});
}

/* All below the place where we are that follows `after`. */
static void walk_children(struct walk *w, rs_str after)
{
    RS_AUTO(rs_children_unref) struct rs_children *c = NULL;
    rs_rc rc = rs_children_open(w->registry, rs_path_repository(&w->path, here(w)), &c, w->err);
    if (rc != RS_OK) {
        if (rc != RS_E_NOT_FOUND)
            fail(w, rc);
        return;
    }
    size_t len = w->len;
    for (size_t i = rs_children_after(c, after); !w->stopped && i < rs_children_count(c); i++) {
        if (rs_children_is_directory(c, i) && rs_name_enter(w->name, &w->len, rs_children_name(c, i)))
            visit_child(w, c, i);
        w->len = len;
    }
}

/* What stands before `last` is skipped a subtree at a time: first what lies below last's first component (which itself
 * comes before last, or is last), then its later siblings. */
static void walk_after(struct walk *w, rs_str last)
{
    rs_str head, rest;
    rs_str_cut(last, '/', &head, &rest);
    size_t len = w->len;
    if (rs_name_enter(w->name, &w->len, head)) {
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
