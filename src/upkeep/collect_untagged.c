/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KEPT with -m (delete_untagged): manifests that a tag points to, and their subjects; those whose link is young, and
 * their subjects; from there on what an index names, however deep, and all referrers of what is kept. registry:2 keeps
 * tagged ones alone, and breaks images of several platforms.
 *
 * "If this one stays, that one stays" makes a graph: from an index to its children, from a subject to its referrers.
 * What cannot be reached goes, in waves: nothing before all that leads to it, so that if somebody comes to need a
 * manifest while the removal goes on, what belongs to it is still there (see SPARED in collect_sweep.c). Those in a
 * circle, of an index and its own child that has the index as its subject, have no order and stay.
 *
 * All of it is in lists of the state directory, of one repository at a time.
 */
#include "layout/link.h"
#include "layout/walk.h"
#include "upkeep/collect_priv.h"

struct edge {
    struct rs_digest_key from, to;
};

struct revision {
    struct rs_digest digest;
    struct rs_digest target;
};

struct candidate {
    struct rs_digest_key key;
    size_t revision;
    uint32_t before; /* edges from candidates that have not gone yet */
    uint32_t wave;
};

struct graph {
    struct rs_collect *c;
    struct rs_region_list revisions;
    struct rs_region_list needs;    /* from a manifest to all that it needs */
    struct rs_region_list leads;    /* from what stays to what stays with it; sorted when all are there */
    struct rs_region_list subjects; /* from a manifest to its subject; sorted likewise */
    struct rs_region_list queue;    /* keys that are kept, and whose edges have not been followed yet */
    size_t followed;
    struct rs_region_list candidates; /* sorted */
    struct rs_digest_key at;          /* the manifest that is being read */
};

static void graph_init(struct graph *g, struct rs_collect *c)
{
    *g = (struct graph){.c = c};
    rs_region_list_init(&g->revisions, c->state_dir, sizeof(struct revision));
    rs_region_list_init(&g->needs, c->state_dir, sizeof(struct edge));
    rs_region_list_init(&g->leads, c->state_dir, sizeof(struct edge));
    rs_region_list_init(&g->subjects, c->state_dir, sizeof(struct edge));
    rs_region_list_init(&g->queue, c->state_dir, sizeof(struct rs_digest_key));
    rs_region_list_init(&g->candidates, c->state_dir, sizeof(struct candidate));
}

static void graph_release(struct graph *g)
{
    rs_region_list_release(&g->revisions);
    rs_region_list_release(&g->needs);
    rs_region_list_release(&g->leads);
    rs_region_list_release(&g->subjects);
    rs_region_list_release(&g->queue);
    rs_region_list_release(&g->candidates);
}

/* --- reading --- */

static rs_rc add_edge(struct graph *g, struct rs_region_list *list, const struct rs_digest_key *from,
                      const struct rs_digest_key *to)
{
    const struct edge edge = {*from, *to};
    return rs_region_list_add(list, &edge, g->c->err);
}

static rs_rc add_need(struct graph *g, enum rs_descriptor_role role, const struct rs_digest *digest)
{
    struct rs_digest target;
    struct rs_digest_key key;
    rs_digest_key_of(digest, &key);
    if (role == RS_ROLE_SUBJECT) {
        RS_TRY(add_edge(g, &g->subjects, &g->at, &key));
        return add_edge(g, &g->leads, &key, &g->at);
    }
    if (role == RS_ROLE_MANIFEST)
        RS_TRY(add_edge(g, &g->leads, &g->at, &key));
    RS_TRY(add_edge(g, &g->needs, &g->at, &key));
    RS_TRY(collect_follow_alias(g->c, g->c->repository.name, digest, &target));
    if (rs_digest_eq(&target, digest))
        return RS_OK;
    rs_digest_key_of(&target, &key);
    return add_edge(g, &g->needs, &g->at, &key);
}

static void visit_need(void *ctx, enum rs_descriptor_role role, const struct rs_digest *digest)
{
    struct graph *g = ctx;
    if (g->c->rc == RS_OK)
        collect_note(g->c, add_need(g, role, digest));
}

static rs_rc read_revision(struct graph *g, const struct rs_digest *digest)
{
    struct rs_collect *c = g->c;
    struct revision revision = {.digest = *digest};
    struct rs_digest_key target;
    bool there;
    RS_TRY(collect_read_manifest(c, c->repository.name, digest, &revision.target, &there));
    if (!there)
        return RS_OK;
    c->report->manifests++;
    rs_digest_key_of(digest, &g->at);
    rs_digest_key_of(&revision.target, &target);
    if (rs_digest_key_cmp(&g->at, &target) != 0)
        RS_TRY(add_edge(g, &g->leads, &g->at, &target));
    RS_TRY(rs_region_list_add(&g->revisions, &revision, c->err));
    RS_TRY(collect_needs(c, c->repository.name, digest, visit_need, g));
    return c->rc;
}

static bool visit_revision(void *ctx, const struct rs_digest *digest)
{
    struct graph *g = ctx;
    return collect_note(g->c, read_revision(g, digest)) && collect_goes_on(g->c);
}

static int compare_edges(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct edge));
}

static void sort(struct rs_region_list *list, int (*compare)(const void *a, const void *b))
{
    if (list->count > 1)
        qsort(list->region.base, list->count, list->item_size, compare);
}

static rs_rc read_revisions(struct graph *g)
{
    struct rs_collect *c = g->c;
    struct rs_path path;
    for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
        rs_path_revisions(&path, c->repository.name, (enum rs_hash_alg)alg);
        RS_TRY(rs_digests_walk(c->storage, path.z, (enum rs_hash_alg)alg, visit_revision, g, c->err));
        RS_TRY(c->rc);
    }
    sort(&g->leads, compare_edges);
    sort(&g->subjects, compare_edges);
    return RS_OK;
}

/* --- what stays --- */

/* The first edge from there. */
static size_t first_edge(const struct rs_region_list *list, const struct rs_digest_key *from)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct edge *edge = rs_region_list_at(list, middle);
        if (rs_digest_key_cmp(&edge->from, from) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* NULL: that was the last one. */
static const struct edge *edge_at(const struct rs_region_list *list, size_t i, const struct rs_digest_key *from)
{
    const struct edge *edge = i < list->count ? rs_region_list_at(list, i) : NULL;
    return edge != NULL && rs_digest_key_cmp(&edge->from, from) == 0 ? edge : NULL;
}

static rs_rc stay(struct graph *g, const struct rs_digest_key *key)
{
    bool is_new;
    RS_TRY(rs_digest_set_add(&g->c->repository.kept, key, &is_new, g->c->err));
    return is_new ? rs_region_list_add(&g->queue, key, g->c->err) : RS_OK;
}

/* And whatever stays with those that stay. */
static rs_rc follow(struct graph *g)
{
    const struct edge *edge;
    for (; g->followed < g->queue.count; g->followed++) {
        const struct rs_digest_key from = *(struct rs_digest_key *)rs_region_list_at(&g->queue, g->followed);
        for (size_t i = first_edge(&g->leads, &from); (edge = edge_at(&g->leads, i, &from)) != NULL; i++)
            RS_TRY(stay(g, &edge->to));
    }
    return RS_OK;
}

static rs_rc stay_with_subject(struct graph *g, const struct rs_digest *digest)
{
    struct rs_digest_key key;
    const struct edge *edge;
    rs_digest_key_of(digest, &key);
    RS_TRY(stay(g, &key));
    for (size_t i = first_edge(&g->subjects, &key); (edge = edge_at(&g->subjects, i, &key)) != NULL; i++)
        RS_TRY(stay(g, &edge->to));
    return RS_OK;
}

static rs_rc read_tag(struct graph *g, rs_str tag)
{
    struct rs_path path;
    struct rs_digest digest;
    rs_path_tag_current(&path, g->c->repository.name, tag);
    rs_rc rc = rs_link_read(g->c->storage, path.z, &digest, g->c->err);
    if (rc != RS_OK)
        return rc == RS_E_NOT_FOUND ? RS_OK : rc;
    return stay_with_subject(g, &digest);
}

static bool visit_tag(void *ctx, rs_str name, bool is_directory)
{
    struct graph *g = ctx;
    if (is_directory && rs_tag_check(name, NULL) == RS_OK)
        collect_note(g->c, read_tag(g, name));
    return collect_goes_on(g->c);
}

static rs_rc read_tags(struct graph *g)
{
    struct rs_path path;
    rs_rc rc = rs_storage_scan(g->c->storage, rs_path_tags(&path, g->c->repository.name), visit_tag, g, g->c->err);
    RS_TRY(g->c->rc);
    RS_TRY(rc == RS_E_NOT_FOUND ? RS_OK : rc);
    return follow(g);
}

static const struct revision *revision_at(const struct graph *g, size_t i)
{
    return rs_region_list_at(&g->revisions, i);
}

static bool is_kept(const struct graph *g, const struct rs_digest *digest)
{
    struct rs_digest_key key;
    rs_digest_key_of(digest, &key);
    return rs_digest_set_has(&g->c->repository.kept, &key);
}

static rs_rc look_at_links(struct graph *g)
{
    struct rs_path path;
    struct rs_storage_stat st;
    for (size_t i = 0; i < g->revisions.count && collect_goes_on(g->c); i++) {
        const struct revision *revision = revision_at(g, i);
        if (is_kept(g, &revision->digest))
            continue;
        rs_path_revision_link(&path, g->c->repository.name, &revision->digest);
        rs_rc rc = rs_storage_stat(g->c->storage, path.z, &st, g->c->err);
        if (rc != RS_OK && rc != RS_E_NOT_FOUND)
            return rc;
        if (rc != RS_OK || st.mtime_s < g->c->before_s)
            continue;
        g->c->met_young = true;
        RS_TRY(stay_with_subject(g, &revision->digest));
    }
    RS_TRY(g->c->rc);
    return follow(g);
}

/* --- what goes, in order --- */

static rs_rc list_candidates(struct graph *g)
{
    for (size_t i = 0; i < g->revisions.count; i++) {
        struct candidate candidate = {.revision = i};
        rs_digest_key_of(&revision_at(g, i)->digest, &candidate.key);
        if (!rs_digest_set_has(&g->c->repository.kept, &candidate.key))
            RS_TRY(rs_region_list_add(&g->candidates, &candidate, g->c->err));
    }
    sort(&g->candidates, rs_digest_key_cmp); /* the key comes first */
    return RS_OK;
}

static struct candidate *find_candidate(const struct graph *g, const struct rs_digest_key *key)
{
    if (g->candidates.count == 0)
        return NULL;
    return bsearch(key, g->candidates.region.base, g->candidates.count, sizeof(struct candidate), rs_digest_key_cmp);
}

static void count_edges(struct graph *g)
{
    for (size_t i = 0; i < g->leads.count; i++) {
        const struct edge *edge = rs_region_list_at(&g->leads, i);
        struct candidate *to = find_candidate(g, &edge->to);
        if (to != NULL && find_candidate(g, &edge->from) != NULL)
            to->before++;
    }
}

static rs_rc let_go(struct graph *g, struct candidate *candidate, struct rs_region_list *gone)
{
    struct rs_collect *c = g->c;
    const struct rs_plan_line line = {.kind = RS_REMOVE_MANIFEST,
                                      .wave = candidate->wave,
                                      .repository = c->repository.name,
                                      .digest = revision_at(g, candidate->revision)->digest};
    RS_TRY(collect_plan(c, &line));
    return rs_region_list_add(gone, &candidate->key, c->err);
}

/* One edge less to wait for, and one wave later than whom it waits for. */
static rs_rc release(struct graph *g, const struct candidate *from, const struct edge *edge,
                     struct rs_region_list *gone)
{
    struct candidate *to = find_candidate(g, &edge->to);
    if (to == NULL)
        return RS_OK;
    to->wave = RS_MAX(to->wave, from->wave + 1);
    return --to->before == 0 ? let_go(g, to, gone) : RS_OK;
}

static rs_rc order_candidates(struct graph *g, struct rs_region_list *gone)
{
    const struct edge *edge;
    for (size_t i = 0; i < g->candidates.count; i++) {
        struct candidate *candidate = rs_region_list_at(&g->candidates, i);
        if (candidate->before == 0)
            RS_TRY(let_go(g, candidate, gone));
    }
    for (size_t i = 0; i < gone->count; i++) {
        const struct rs_digest_key key = *(struct rs_digest_key *)rs_region_list_at(gone, i);
        const struct candidate *from = find_candidate(g, &key);
        for (size_t k = first_edge(&g->leads, &key); (edge = edge_at(&g->leads, k, &key)) != NULL; k++)
            RS_TRY(release(g, from, edge, gone));
    }
    return RS_OK;
}

/* What is left of them is in circles. */
static rs_rc plan_candidates(struct graph *g)
{
    RS_AUTO(rs_region_list_release) struct rs_region_list gone;
    rs_region_list_init(&gone, g->c->state_dir, sizeof(struct rs_digest_key));
    RS_TRY(list_candidates(g));
    count_edges(g);
    RS_TRY(order_candidates(g, &gone));
    for (size_t i = 0; i < g->candidates.count; i++) {
        const struct candidate *candidate = rs_region_list_at(&g->candidates, i);
        if (candidate->before > 0)
            RS_TRY(stay(g, &candidate->key));
    }
    return follow(g);
}

static rs_rc keep_the_rest(struct graph *g)
{
    struct rs_collect *c = g->c;
    for (size_t i = 0; i < g->revisions.count; i++) {
        const struct revision *revision = revision_at(g, i);
        if (is_kept(g, &revision->digest))
            RS_TRY(collect_keep(c, &revision->digest, &revision->target));
    }
    for (size_t i = 0; i < g->needs.count; i++) {
        const struct edge *edge = rs_region_list_at(&g->needs, i);
        if (rs_digest_set_has(&c->repository.kept, &edge->from))
            RS_TRY(collect_need(c, &edge->to));
    }
    return RS_OK;
}

rs_rc collect_mark_tagged(struct rs_collect *c)
{
    RS_AUTO(graph_release) struct graph g;
    graph_init(&g, c);
    RS_TRY(read_revisions(&g));
    RS_TRY(read_tags(&g));
    RS_TRY(look_at_links(&g));
    if (c->stopped)
        return RS_OK;
    RS_TRY(plan_candidates(&g));
    return keep_the_rest(&g);
}
