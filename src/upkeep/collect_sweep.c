/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPARED. The remover spares a manifest that somebody has come to rely on since the marking: a push of it, a tag. What
 * belongs to it is not young then: its layers, the manifests that an index names, its referrers. So the rest of the
 * run leaves alone what a spared manifest needs: these are exempt. The plan has manifests in waves, indexes and
 * subjects before what belongs to them, and before the links of layers, so that what becomes exempt has not gone yet.
 * Blobs need no such care: the remover takes none that any link or revision names.
 *
 * STOPPED, OR KILLED. The place in the plan is kept after each batch. The next run finds out again what is exempt:
 * manifests behind that place are there still because they were spared, or pushed again.
 */
#include "base/clock.h"
#include "layout/link.h"
#include "upkeep/collect_priv.h"

/* Of one batch: pushes that need just these wait for it. A batch of blobs costs a walk over all links, so it is larger.
 * Where nobody is served, nobody waits. */
#define LINKS_MAX 4096
#define BLOBS_MAX 8192

struct sweep {
    struct rs_collect *c;
    struct rs_removal *items;
    uint64_t *places; /* where their lines begin */
    size_t count;
    struct rs_arena *arena; /* the names of a batch */
    struct rs_digest_set exempt;
};

/* --- what is exempt --- */

static void exempt_key(rs_str repository, const struct rs_digest *digest, struct rs_digest_key *out)
{
    struct rs_hash hash;
    uint8_t raw[RS_HASH_MAX];
    rs_hash_init(&hash, RS_SHA256);
    rs_hash_update(&hash, repository.ptr, repository.len);
    rs_hash_update(&hash, "", 1);
    rs_hash_update(&hash, digest->text, strlen(digest->text));
    rs_hash_final(&hash, raw);
    memcpy(out, raw, sizeof *out);
}

static bool is_exempt(const struct sweep *s, rs_str repository, const struct rs_digest *digest)
{
    struct rs_digest_key key;
    if (s->exempt.count == 0)
        return false;
    exempt_key(repository, digest, &key);
    return rs_digest_set_has(&s->exempt, &key);
}

struct visit {
    struct sweep *sweep;
    rs_str repository;
    bool found; /* is_referrer_of_exempt's */
};

static rs_rc add_exempt(struct sweep *s, rs_str repository, const struct rs_digest *digest)
{
    struct rs_digest_key key;
    struct rs_digest target;
    exempt_key(repository, digest, &key);
    RS_TRY(rs_digest_set_add(&s->exempt, &key, NULL, s->c->err));
    RS_TRY(collect_follow_alias(s->c, repository, digest, &target));
    exempt_key(repository, &target, &key);
    return rs_digest_set_add(&s->exempt, &key, NULL, s->c->err);
}

static void visit_exempt(void *ctx, enum rs_descriptor_role role, const struct rs_digest *digest)
{
    struct visit *v = ctx;
    if (role != RS_ROLE_SUBJECT && v->sweep->c->rc == RS_OK)
        collect_note(v->sweep->c, add_exempt(v->sweep, v->repository, digest));
}

/* It, what it needs, and (through its own digest) its referrers. */
static rs_rc exempt(struct sweep *s, rs_str repository, const struct rs_digest *digest)
{
    struct rs_collect *c = s->c;
    struct visit v = {.sweep = s, .repository = repository};
    struct rs_digest target;
    bool there;
    RS_TRY(collect_read_manifest(c, repository, digest, &target, &there));
    if (!there)
        return RS_OK;
    RS_TRY(add_exempt(s, repository, digest));
    RS_TRY(add_exempt(s, repository, &target));
    RS_TRY(collect_needs(c, repository, digest, visit_exempt, &v));
    return c->rc;
}

static void visit_subject(void *ctx, enum rs_descriptor_role role, const struct rs_digest *digest)
{
    struct visit *v = ctx;
    v->found = v->found || (role == RS_ROLE_SUBJECT && is_exempt(v->sweep, v->repository, digest));
}

/* Whether a manifest belongs to one that was spared; then what belongs to it is exempt as well. */
static rs_rc belongs_to_spared(struct sweep *s, const struct rs_plan_line *line, bool *out)
{
    struct rs_collect *c = s->c;
    struct visit v = {.sweep = s, .repository = line->repository};
    struct rs_digest target;
    bool there;
    *out = is_exempt(s, line->repository, &line->digest);
    if (s->exempt.count == 0)
        return RS_OK;
    if (!*out) {
        RS_TRY(collect_read_manifest(c, line->repository, &line->digest, &target, &there));
        if (there)
            RS_TRY(collect_needs(c, line->repository, &line->digest, visit_subject, &v));
        *out = v.found;
    }
    return *out ? exempt(s, line->repository, &line->digest) : RS_OK;
}

static rs_rc is_left_alone(struct sweep *s, const struct rs_plan_line *line, bool *out)
{
    *out = false;
    if (line->is_pulled || line->kind == RS_REMOVE_BLOB)
        return RS_OK;
    if (line->kind == RS_REMOVE_MANIFEST)
        return belongs_to_spared(s, line, out);
    *out = is_exempt(s, line->repository, &line->digest);
    return RS_OK;
}

/* Those before the place that are still there. */
static rs_rc exempt_of_part(struct sweep *s, unsigned part, const struct rs_plan_place *place)
{
    struct rs_collect *c = s->c;
    struct rs_plan_place at = {.part = part};
    struct rs_plan_line line;
    while (!rs_plan_at_end(&c->plan, &at) && (part < place->part || at.offset < place->offset) && collect_goes_on(c)) {
        rs_arena_reset(s->arena);
        RS_TRY(rs_plan_read(&c->plan, &at, s->arena, &line, c->err));
        RS_TRY(exempt(s, line.repository, &line.digest));
    }
    return c->rc;
}

/* A run that goes on. */
static rs_rc exempt_behind(struct sweep *s, const struct rs_plan_place *place)
{
    for (unsigned part = RS_PLAN_MANIFESTS; part < RS_PLAN_LINKS && part <= place->part; part++)
        RS_TRY(exempt_of_part(s, part, place));
    return RS_OK;
}

/* --- batches --- */

static bool goes_on(void *ctx)
{
    return collect_goes_on(ctx);
}

/* The remover left them: it is exempt, but for those that are gone or have just become needed. */
static rs_rc count_results(struct sweep *s)
{
    struct rs_collect_report *report = s->c->report;
    for (size_t i = 0; i < s->count; i++) {
        const struct rs_removal *item = &s->items[i];
        report->removed[item->kind] += item->result == RS_REMOVAL_DONE;
        report->spared[item->kind] += item->result == RS_REMOVAL_SPARED;
        report->freed += item->size;
        if (item->result == RS_REMOVAL_SPARED && item->kind == RS_REMOVE_MANIFEST)
            RS_TRY(exempt(s, item->repository, &item->digest));
    }
    return RS_OK;
}

/* Behind the last one that was looked at. */
static void find_place(const struct sweep *s, struct rs_plan_place *place)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->items[i].result == RS_REMOVAL_LEFT) {
            place->offset = s->places[i];
            return;
        }
    }
}

/* An error of the remover leaves what it did not reach; what it did is counted. */
static rs_rc take(struct sweep *s, struct rs_plan_place *place)
{
    struct rs_collect *c = s->c;
    struct rs_plan_place reached = *place;
    rs_rc rc = rs_remover_take(c->remover, c->before_s, s->items, s->count, goes_on, c, c->err);
    if (rc == RS_OK)
        rc = count_results(s);
    find_place(s, &reached);
    s->count = 0;
    rs_arena_reset(s->arena);
    RS_TRY(rc);
    RS_TRY(c->rc);
    *place = reached;
    return rs_plan_keep_place(&c->plan, place, c->err);
}

/* A note of pulls of a manifest that is still gone. */
static rs_rc remove_pulled(struct sweep *s, const struct rs_plan_line *line)
{
    struct rs_path path;
    struct rs_storage_stat st;
    struct rs_collect *c = s->c;
    rs_rc rc = rs_storage_stat(c->storage, rs_path_revision_link(&path, line->repository, &line->digest), &st, c->err);
    if (rc != RS_E_NOT_FOUND)
        return rc;
    RS_TRY(rs_storage_remove(c->storage, rs_path_pulled_at(&path, line->repository, &line->digest), NULL, c->err));
    c->report->pulled++;
    return RS_OK;
}

static rs_rc add_item(struct sweep *s, const struct rs_plan_line *line, uint64_t at)
{
    bool left_alone;
    RS_TRY(is_left_alone(s, line, &left_alone));
    if (left_alone) {
        s->c->report->spared[line->kind]++;
        return RS_OK;
    }
    if (line->is_pulled)
        return remove_pulled(s, line);
    s->items[s->count] =
        (struct rs_removal){.kind = line->kind, .repository = line->repository, .digest = line->digest};
    s->places[s->count++] = at;
    return RS_OK;
}

/* Fills a batch: of one wave, as many as may be. *place moves behind it. */
static rs_rc fill(struct sweep *s, struct rs_plan_place *place)
{
    struct rs_collect *c = s->c;
    struct rs_plan_line line;
    unsigned wave = 0;
    size_t most = place->part == RS_PLAN_BLOBS ? BLOBS_MAX : LINKS_MAX;
    most = c->report->grace_s == 0 ? RS_REMOVALS_MAX : most;
    for (size_t n = 0; s->count < most && n < 2 * most && !rs_plan_at_end(&c->plan, place) && collect_goes_on(c); n++) {
        struct rs_plan_place before = *place;
        RS_TRY(rs_plan_read(&c->plan, place, s->arena, &line, c->err));
        if (n > 0 && line.wave != wave) {
            *place = before;
            return RS_OK;
        }
        wave = line.wave;
        RS_TRY(add_item(s, &line, before.offset));
    }
    return c->rc;
}

static rs_rc sweep_part(struct sweep *s, struct rs_plan_place *place)
{
    while (!rs_plan_at_end(&s->c->plan, place) && collect_goes_on(s->c)) {
        RS_TRY(fill(s, place));
        RS_TRY(take(s, place));
    }
    return s->c->rc;
}

static void sweep_release(struct sweep *s)
{
    rs_digest_set_release(&s->exempt);
    rs_arena_free(&s->arena);
    free(s->items);
    free(s->places);
}

rs_rc collect_sweep(struct rs_collect *c, struct rs_plan_place *place)
{
    RS_AUTO(sweep_release) struct sweep s = {.c = c};
    s.items = rs_calloc(RS_REMOVALS_MAX, sizeof *s.items);
    s.places = rs_calloc(RS_REMOVALS_MAX, sizeof *s.places);
    s.arena = rs_arena_new();
    rs_digest_set_init(&s.exempt, c->state_dir);
    RS_TRY(exempt_behind(&s, place));
    while (place->part < RS_PLAN_PARTS && collect_goes_on(c)) {
        RS_TRY(sweep_part(&s, place));
        if (c->stopped)
            return RS_OK;
        *place = (struct rs_plan_place){.part = place->part + 1};
        RS_TRY(rs_plan_keep_place(&c->plan, place, c->err));
    }
    return c->rc;
}
