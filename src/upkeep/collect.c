/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESUMED. A run that was stopped or killed leaves its plan, and the next one goes on with it instead of marking again.
 * That is safe for as long as what the plan took for old is what everybody renews before he relies on it, and the
 * remover looks again with the plan's own `before`: whatever was renewed since is younger. It holds if no server has
 * used the storage since that keeps a longer grace than the plan did. So a plan is used if its grace is at least what
 * servers and configuration ask for now, if it had one at all (without a server there is none: then marking is done
 * again, also after a plan that had one, for now more may go), and if it is less than a day old; a server that starts
 * with a longer grace throws it away (rs_collect_forget).
 *
 * CLOCKS. What is young is told by times of change. A clock that was set meanwhile ends the run.
 */
#include "base/clock.h"
#include "upkeep/collect_priv.h"

#define PLAN_AGE_MAX_S (24 * 3600)
#define JUMP_MS 2000

/* --- at every step --- */

static int64_t ahead_ms(void)
{
    return rs_wall_ms() - rs_mono_ms();
}

static rs_rc check_clock(struct rs_collect *c)
{
    int64_t jump_ms = ahead_ms() - c->ahead_ms;
    if (jump_ms <= JUMP_MS && jump_ms >= -JUMP_MS)
        return RS_OK;
    return rs_err_set(
        c->err, RS_E_UNAVAILABLE,
        "the clock was set by %lld ms while the collection was going on, which goes by it: start it again",
        (long long)jump_ms);
}

bool collect_note(struct rs_collect *c, rs_rc rc)
{
    if (c->rc == RS_OK)
        c->rc = rc;
    return c->rc == RS_OK;
}

bool collect_goes_on(struct rs_collect *c)
{
    const struct rs_collect_options *options = c->options;
    if (c->rc != RS_OK || c->stopped)
        return false;
    c->stopped = options->goes_on != NULL && !options->goes_on(options->ctx);
    if (!c->stopped && c->steps++ % 64 == 0)
        collect_note(c, check_clock(c));
    return c->rc == RS_OK && !c->stopped;
}

void collect_tell(struct rs_collect *c, struct rs_collect_told told)
{
    if (c->options->tell == NULL)
        return;
    told.report = c->report;
    c->options->tell(c->options->ctx, &told);
}

rs_rc collect_plan(struct rs_collect *c, const struct rs_plan_line *line)
{
    return rs_plan_add(&c->plan, line, c->err);
}

/* --- the plan --- */

static void report_head(struct rs_collect *c)
{
    const struct rs_plan_head *head = &c->plan.head;
    struct rs_collect_report *report = c->report;
    report->repositories = head->repositories;
    report->manifests = head->manifests;
    report->marked = head->marked;
    memcpy(report->eligible, head->eligible, sizeof report->eligible);
    report->eligible_bytes = head->eligible_bytes;
    report->before_s = head->before_s;
    report->grace_s = head->grace_s;
}

/* One that was left, of the same kind. */
static bool resume(struct rs_collect *c, struct rs_plan_place *out)
{
    const struct rs_plan_head *head = &c->plan.head;
    if (c->options->dry_run || rs_plan_open(&c->plan, out, NULL) != RS_OK)
        return false;
    int64_t age_s = rs_remover_began_s(c->remover) - head->began_s;
    int64_t asked_s = RS_MAX(c->report->grace_s, c->options->grace_s);
    if (head->delete_untagged != c->options->delete_untagged || age_s < 0 || age_s > PLAN_AGE_MAX_S ||
        head->grace_s < asked_s || head->grace_s == 0 || c->report->grace_s == 0)
        return false;
    c->before_s = head->before_s;
    c->report->resumed = true;
    report_head(c);
    return true;
}

static rs_rc mark_all(struct rs_collect *c)
{
    c->plan.head = (struct rs_plan_head){
        .began_s = rs_remover_began_s(c->remover),
        .before_s = c->before_s,
        .grace_s = c->report->grace_s,
        .delete_untagged = c->options->delete_untagged,
    };
    RS_TRY(rs_plan_begin(&c->plan, c->err));
    return collect_mark(c);
}

/* Alone, and something was written in the very second in which the run began: whether it is needed is known when that
 * second has passed. */
static rs_rc mark_again(struct rs_collect *c)
{
    struct rs_collect_report *report = c->report;
    RS_TRY(rs_remover_begin_again(c->remover, &report->grace_s, c->err));
    c->before_s = report->before_s = rs_remover_began_s(c->remover) - report->grace_s;
    report->repositories = report->manifests = 0;
    rs_digest_set_clear(&c->marked);
    collect_tell(c, (struct rs_collect_told){.event = RS_COLLECT_BEGUN});
    return mark_all(c);
}

static rs_rc make_plan(struct rs_collect *c)
{
    struct rs_plan_head *head = &c->plan.head;
    RS_TRY(mark_all(c));
    if (c->met_young && c->report->grace_s == 0 && !c->stopped)
        RS_TRY(mark_again(c));
    head->repositories = c->report->repositories;
    head->manifests = c->report->manifests;
    head->marked = c->report->marked;
    if (c->stopped)
        return RS_OK;
    RS_TRY(rs_plan_end(&c->plan, c->err));
    report_head(c);
    return RS_OK;
}

static rs_rc list_part(struct rs_collect *c, unsigned part, struct rs_arena *arena)
{
    struct rs_plan_place place = {.part = part};
    struct rs_plan_line line;
    while (!rs_plan_at_end(&c->plan, &place) && collect_goes_on(c)) {
        rs_arena_reset(arena);
        RS_TRY(rs_plan_read(&c->plan, &place, arena, &line, c->err));
        if (!line.is_pulled)
            collect_tell(c, (struct rs_collect_told){.event = RS_COLLECT_ELIGIBLE,
                                                     .kind = line.kind,
                                                     .repository = line.repository,
                                                     .digest = &line.digest,
                                                     .size = line.size});
    }
    return c->rc;
}

static rs_rc list_plan(struct rs_collect *c)
{
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    for (unsigned part = 0; part < RS_PLAN_PARTS && c->options->list; part++)
        RS_TRY(list_part(c, part, arena));
    return RS_OK;
}

void rs_collect_forget(struct rs_storage *storage, int64_t grace_s)
{
    struct rs_plan plan;
    struct rs_plan_place place;
    rs_plan_init(&plan, storage, false);
    if (rs_plan_open(&plan, &place, NULL) == RS_OK && plan.head.grace_s < grace_s)
        rs_plan_remove(&plan, NULL);
    rs_plan_release(&plan);
}

/* --- a run --- */

/* *out_whole: there is a plan to work through. */
static rs_rc mark(struct rs_collect *c, struct rs_plan_place *place, bool *out_whole)
{
    int64_t began_ms = rs_mono_ms();
    *place = (struct rs_plan_place){0};
    bool resumed = resume(c, place);
    collect_tell(c, (struct rs_collect_told){.event = RS_COLLECT_BEGUN});
    rs_rc rc = resumed ? RS_OK : make_plan(c);
    c->report->mark_ms = rs_mono_ms() - began_ms;
    *out_whole = rc == RS_OK && !c->stopped;
    return rc;
}

static rs_rc sweep(struct rs_collect *c, struct rs_plan_place *place)
{
    int64_t began_ms = rs_mono_ms();
    rs_rc rc = collect_sweep(c, place);
    c->report->sweep_ms = rs_mono_ms() - began_ms;
    return rc;
}

/* A plan stays if it is to be gone on with. */
static rs_rc run(struct rs_collect *c)
{
    struct rs_plan_place place;
    bool whole;
    rs_rc rc = mark(c, &place, &whole);
    if (whole) {
        collect_tell(c, (struct rs_collect_told){.event = RS_COLLECT_PLANNED});
        rc = list_plan(c);
    }
    if (whole && rc == RS_OK && !c->options->dry_run)
        rc = sweep(c, &place);
    c->report->complete = rc == RS_OK && !c->stopped;
    if (rc == RS_OK && whole && c->stopped && !c->options->dry_run)
        return RS_OK;
    rs_rc removed = rs_plan_remove(&c->plan, rc == RS_OK ? c->err : NULL);
    return rc != RS_OK ? rc : removed;
}

static void collect_init(struct rs_collect *c)
{
    c->ahead_ms = ahead_ms();
    c->arena = rs_arena_new();
    rs_buf_init(&c->bytes, RS_MANIFEST_MAX);
    rs_digest_set_init(&c->marked, c->state_dir);
    rs_digest_set_init(&c->repository.needed, c->state_dir);
    rs_digest_set_init(&c->repository.kept, c->state_dir);
    rs_plan_init(&c->plan, c->storage, c->options->dry_run);
}

static void collect_release(struct rs_collect *c)
{
    rs_plan_release(&c->plan);
    rs_digest_set_release(&c->repository.kept);
    rs_digest_set_release(&c->repository.needed);
    rs_digest_set_release(&c->marked);
    rs_buf_release(&c->bytes);
    rs_arena_free(&c->arena);
}

rs_rc rs_collect(struct rs_storage *storage, struct rs_registry *registry, const char *state_dir,
                 const struct rs_collect_options *options, struct rs_collect_report *out, struct rs_err *err)
{
    RS_AUTO(rs_remover_close) struct rs_remover *remover = NULL;
    struct rs_err unread;
    struct rs_collect c = {.storage = storage,
                           .state_dir = state_dir,
                           .options = options,
                           .report = out,
                           .err = err != NULL ? err : &unread};
    *out = (struct rs_collect_report){0};
    RS_TRY(rs_remover_open(registry, options->grace_s, options->alone, &remover, &out->grace_s, err));
    c.remover = remover;
    c.before_s = rs_remover_began_s(remover) - out->grace_s;
    out->before_s = c.before_s;
    collect_init(&c);
    rs_rc rc = run(&c);
    collect_release(&c);
    return rc;
}
