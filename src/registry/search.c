/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching goes through the names of the catalog, which is quick, and then through each repository's tags, in their
 * order, and stops when the caller has enough or the time is over. Nothing is kept for it but what listing keeps, so
 * that it is as right as a listing, and a registry of any size costs a request no more than its time.
 */
#include "base/clock.h"
#include "layout/paths.h"
#include "registry/children.h"
#include "registry/registry_priv.h"

#define CLOCK_EVERY 1024 /* tags between two looks at the clock */

struct run {
    struct rs_registry *registry;
    struct rs_search *search;
    rs_str repository_part; /* what a repository's name, or its end where a tag is named, must hold */
    rs_str tag_part;
    bool with_colon;
    rs_search_visit *visit;
    void *ctx;
    struct rs_err *err;
    rs_rc rc;
    int64_t end_ms;
    bool over;
};

static bool begins(rs_str s, rs_str part)
{
    return rs_str_eq_nocase(rs_str_sub(s, 0, part.len), part);
}

static bool holds(rs_str s, rs_str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++)
        if (begins(rs_str_from(s, i), part))
            return true;
    return false;
}

/* "app:1" is found in "team/app:1.2": the repository ends in what stands before the colon, the tag begins with what
 * follows it. */
static bool repository_fits(const struct run *r, rs_str name)
{
    if (!r->with_colon)
        return holds(name, r->repository_part);
    return name.len >= r->repository_part.len &&
           rs_str_eq_nocase(rs_str_from(name, name.len - r->repository_part.len), r->repository_part);
}

static bool tag_fits(const struct run *r, rs_str tag)
{
    return r->with_colon ? begins(tag, r->tag_part) : holds(tag, r->tag_part);
}

/* Where a later call goes on. */
static void note_place(struct run *r, rs_str repository, rs_str tag)
{
    RS_ASSERT(rs_str_copy_z(repository, r->search->repository, sizeof r->search->repository));
    RS_ASSERT(rs_str_copy_z(tag, r->search->tag, sizeof r->search->tag));
}

static void stop(struct run *r)
{
    r->over = true;
    r->search->unfinished = true;
}

static bool is_late(const struct run *r)
{
    return rs_mono_ms() >= r->end_ms;
}

static void tell(struct run *r, rs_str repository, rs_str tag)
{
    if (!r->visit(r->ctx, repository, tag)) {
        stop(r); /* this one is told again */
        return;
    }
    note_place(r, repository, tag);
    if (is_late(r)) /* what is told of a tag is read from manifests, which takes longer than going through names */
        stop(r);
}

static void search_children(struct run *r, rs_str repository, const struct rs_children *tags, rs_str after)
{
    struct rs_path path;
    struct rs_storage_stat st;
    size_t count = rs_children_count(tags);
    for (size_t i = rs_children_after(tags, after); i < count && !r->over; i++) {
        rs_str tag = rs_children_name(tags, i);
        if (tag_fits(r, tag) && rs_tag_check(tag, NULL) == RS_OK) {
            rs_path_tag_current(&path, repository, tag);
            if (rs_storage_stat(r->registry->storage, path.z, &st, NULL) == RS_OK)
                tell(r, repository, tag);
        }
        if (i % CLOCK_EVERY == 0 && !r->over && is_late(r) && rs_tag_check(tag, NULL) == RS_OK) {
            note_place(r, repository, tag);
            stop(r);
        }
    }
}

static void search_tags(struct run *r, rs_str repository, rs_str after)
{
    struct rs_path path;
    RS_AUTO(rs_children_unref) struct rs_children *tags = NULL;
    rs_rc rc = rs_children_open(r->registry, rs_path_tags(&path, repository), &tags, r->err);
    if (rc == RS_OK)
        search_children(r, repository, tags, after);
    else if (rc != RS_E_NOT_FOUND)
        r->rc = rc;
}

static bool go_further(struct run *r)
{
    if (!r->over && r->rc == RS_OK && is_late(r))
        stop(r);
    return !r->over && r->rc == RS_OK;
}

static bool visit_name(void *ctx, rs_str repository)
{
    struct run *r = ctx;
    if (repository_fits(r, repository))
        tell(r, repository, (rs_str){NULL, 0});
    else
        note_place(r, repository, (rs_str){NULL, 0});
    return go_further(r);
}

static bool visit_tags(void *ctx, rs_str repository)
{
    struct run *r = ctx;
    if (!r->with_colon || repository_fits(r, repository))
        search_tags(r, repository, (rs_str){NULL, 0});
    if (r->rc == RS_OK && !r->over)
        note_place(r, repository, RS_STR(RS_SEARCH_DONE));
    return go_further(r);
}

static rs_rc search_names(struct run *r, rs_str after)
{
    RS_TRY(rs_catalog_list(r->registry, after, visit_name, r, r->err));
    if (r->over)
        return RS_OK;
    r->search->in_tags = true;
    note_place(r, (rs_str){NULL, 0}, (rs_str){NULL, 0});
    return RS_OK;
}

/* First the rest of the repository in which an earlier call stopped. */
static rs_rc search_all_tags(struct run *r, rs_str repository, rs_str tag)
{
    bool begun = repository.len > 0 && !rs_str_eq(tag, RS_STR(RS_SEARCH_DONE));
    if (begun && (!r->with_colon || repository_fits(r, repository)))
        search_tags(r, repository, tag);
    if (r->rc == RS_OK && !r->over)
        RS_TRY(rs_catalog_list(r->registry, repository, visit_tags, r, r->err));
    return r->rc;
}

rs_rc rs_search(struct rs_registry *registry, rs_str part, struct rs_search *search, rs_search_visit *visit, void *ctx,
                struct rs_err *err)
{
    struct run r = {
        .registry = registry,
        .search = search,
        .visit = visit,
        .ctx = ctx,
        .err = err,
        .end_ms = rs_mono_ms() + search->time_ms,
    };
    r.with_colon = rs_str_cut(part, ':', &r.repository_part, &r.tag_part);
    if (!r.with_colon)
        r.tag_part = part;
    search->in_tags |= r.with_colon;
    search->unfinished = false;
    const struct rs_search start = *search; /* the place moves on while we go */
    if (start.in_tags)
        return search_all_tags(&r, rs_str_c(start.repository), rs_str_c(start.tag));
    RS_TRY(search_names(&r, rs_str_c(start.repository)));
    return r.over ? RS_OK : search_all_tags(&r, (rs_str){NULL, 0}, (rs_str){NULL, 0});
}
