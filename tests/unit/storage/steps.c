/* SPDX-License-Identifier: Apache-2.0 */
#include "steps.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "storage/count.h"
#include "storage/storage_priv.h"

#define STEPS_MAX 4096 /* of one run */
#define SWITCHES_MAX 64
#define WRITTEN_MAX 256     /* paths */
#define SLEEPS_MAX 400      /* of all, one after another, before they are taken to sleep for good */
#define NOBODY STEPS_ACTORS /* who goes */

/* --- turns --- */

struct change { /* of who goes */
    unsigned step;
    unsigned actor;
};

struct step { /* as it was decided */
    uint8_t actor;
    uint8_t enabled; /* a bit for each that could have gone */
    uint8_t last;    /* who went before, */
    bool free;       /* and has ended */
    char what[56];
};

/* Under the mutex. */
static struct turns {
    pthread_mutex_t mutex;
    pthread_cond_t conds[STEPS_ACTORS];
    size_t actors;
    unsigned going; /* NOBODY: all have ended */
    bool ended[STEPS_ACTORS];
    bool asleep[STEPS_ACTORS];
    const char *next[STEPS_ACTORS]; /* what each is about to do */
    unsigned sleeps;                /* since the last step */
    bool stuck;
    bool diverged;
    const struct change *schedule;
    size_t schedule_len, schedule_at;
    unsigned count;
    struct step *trace;
} turns = {.mutex = PTHREAD_MUTEX_INITIALIZER,
           .conds = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER}};

static _Thread_local size_t self = STEPS_ACTORS;
static _Thread_local bool is_at_once;

void steps_at_once(bool at_once)
{
    is_at_once = at_once;
}

size_t steps_self(void)
{
    return self;
}

static unsigned enabled_locked(void)
{
    unsigned enabled = 0;
    for (unsigned i = 0; i < turns.actors; i++)
        if (!turns.ended[i] && !turns.asleep[i])
            enabled |= 1u << i;
    return enabled;
}

/* All that are left sleep: all look again, though not for ever. */
static unsigned wake_all_locked(void)
{
    turns.stuck = turns.stuck || ++turns.sleeps > SLEEPS_MAX;
    for (unsigned i = 0; i < turns.actors; i++)
        turns.asleep[i] = false;
    return enabled_locked();
}

static unsigned choose_locked(unsigned enabled)
{
    bool goes_on = turns.going < turns.actors && (enabled & 1u << turns.going) != 0;
    unsigned next = goes_on ? turns.going : (unsigned)__builtin_ctz(enabled);
    if (turns.schedule_at < turns.schedule_len && turns.schedule[turns.schedule_at].step == turns.count) {
        unsigned wanted = turns.schedule[turns.schedule_at++].actor;
        turns.diverged = turns.diverged || (enabled & 1u << wanted) == 0;
        next = (enabled & 1u << wanted) != 0 ? wanted : next;
    }
    return next;
}

static void record_locked(unsigned enabled, unsigned next)
{
    RS_ASSERT(turns.count < STEPS_MAX);
    struct step *step = &turns.trace[turns.count++];
    step->actor = (uint8_t)next;
    step->enabled = (uint8_t)enabled;
    step->last = (uint8_t)turns.going;
    step->free = turns.going >= turns.actors || turns.ended[turns.going];
    const char *what = turns.next[next];
    size_t len = strlen(what);
    snprintf(step->what, sizeof step->what, "%s", len < sizeof step->what ? what : what + len - sizeof step->what + 1);
}

/* Decides who goes now. The sleepers may look again when somebody else has gone. */
static void decide_locked(void)
{
    unsigned enabled = enabled_locked();
    if (enabled == 0)
        enabled = wake_all_locked();
    unsigned next = NOBODY;
    if (enabled != 0) {
        next = choose_locked(enabled);
        record_locked(enabled, next);
    }
    for (unsigned i = 0; i < turns.actors && next != NOBODY; i++)
        turns.asleep[i] = false;
    turns.going = next;
    if (next != NOBODY && next != self)
        pthread_cond_signal(&turns.conds[next]);
}

static void wait_locked(void)
{
    while (turns.going != self)
        pthread_cond_wait(&turns.conds[self], &turns.mutex);
}

/* Before a call. False: nothing goes any more, let the call fail. */
static bool take_turn(const char *path)
{
    if (self == STEPS_ACTORS || is_at_once)
        return true;
    pthread_mutex_lock(&turns.mutex);
    turns.next[self] = path;
    decide_locked();
    wait_locked();
    bool stuck = turns.stuck;
    pthread_mutex_unlock(&turns.mutex);
    return !stuck;
}

/* --- what the linker puts before the real ones (--wrap) --- */

#define SLEEP_MS 350 /* what every sleep takes */

/* Only one goes at a time. */
static int64_t slept_ms;

int64_t __real_rs_wall_ms(void);
int64_t __wrap_rs_wall_ms(void);
int64_t __wrap_rs_wall_s(void);
int64_t __wrap_rs_mono_ms(void);
void __wrap_rs_sleep_ms(int64_t ms);
void __real_rs_mutex_lock(struct rs_mutex *m);
void __wrap_rs_mutex_lock(struct rs_mutex *m);

int64_t __wrap_rs_mono_ms(void)
{
    return 1000000 + slept_ms;
}

int64_t __wrap_rs_wall_ms(void)
{
    static int64_t began_ms;
    if (began_ms == 0)
        began_ms = __real_rs_wall_ms();
    return began_ms + slept_ms;
}

int64_t __wrap_rs_wall_s(void)
{
    return __wrap_rs_wall_ms() / 1000;
}

/* An actor sleeps until another one has gone. */
void __wrap_rs_sleep_ms(int64_t ms)
{
    slept_ms += ms > 0 ? SLEEP_MS : 0;
    if (self == STEPS_ACTORS)
        return;
    pthread_mutex_lock(&turns.mutex);
    turns.next[self] = "(sleeps)";
    turns.asleep[self] = true;
    decide_locked();
    wait_locked();
    pthread_mutex_unlock(&turns.mutex);
}

void __wrap_rs_mutex_lock(struct rs_mutex *m)
{
    while (self != STEPS_ACTORS && pthread_mutex_trylock(&m->mutex) != 0)
        __wrap_rs_sleep_ms(0);
    if (self != STEPS_ACTORS)
        pthread_mutex_unlock(&m->mutex);
    __real_rs_mutex_lock(m);
}

struct actor {
    const struct steps_case *what;
    size_t number;
};

static void *run_actor(void *arg)
{
    struct actor *actor = arg;
    self = actor->number;
    pthread_mutex_lock(&turns.mutex);
    wait_locked();
    pthread_mutex_unlock(&turns.mutex);
    actor->what->act(actor->what->ctx, actor->number);
    pthread_mutex_lock(&turns.mutex);
    turns.ended[self] = true;
    decide_locked();
    pthread_mutex_unlock(&turns.mutex);
    return NULL;
}

/* --- one run --- */

static void reset(const struct steps_case *what, const struct change *schedule, size_t len, struct step *trace)
{
    turns.actors = what->actors;
    turns.going = NOBODY;
    turns.sleeps = turns.count = 0;
    turns.stuck = turns.diverged = false;
    turns.schedule = schedule;
    turns.schedule_len = len;
    turns.schedule_at = 0;
    turns.trace = trace;
    for (size_t i = 0; i < STEPS_ACTORS; i++) {
        turns.ended[i] = turns.asleep[i] = false;
        turns.next[i] = "(begins)";
    }
}

/* Returns how many steps it had. */
static unsigned run(const struct steps_case *what, const struct change *schedule, size_t len, struct step *trace)
{
    pthread_t threads[STEPS_ACTORS];
    struct actor actors[STEPS_ACTORS];
    reset(what, schedule, len, trace);
    for (size_t i = 0; i < what->actors; i++) {
        actors[i] = (struct actor){what, i};
        RS_ASSERT(pthread_create(&threads[i], NULL, run_actor, &actors[i]) == 0);
    }
    pthread_mutex_lock(&turns.mutex);
    decide_locked();
    pthread_mutex_unlock(&turns.mutex);
    for (size_t i = 0; i < what->actors; i++)
        pthread_join(threads[i], NULL);
    return turns.count;
}

static void tell_schedule(struct rs_buf *out, const struct step *trace, unsigned count)
{
    rs_buf_printf(out, "\n  in this order (actor: steps, and before what it was stopped):");
    for (unsigned i = 0, from = 0; i <= count; i++) {
        if (i > 0 && i < count && trace[i].actor == trace[i - 1].actor)
            continue;
        if (i > from)
            rs_buf_printf(out, "\n    %u: %u from %s to %s", trace[from].actor, i - from, trace[from].what,
                          trace[i - 1].what);
        from = i;
    }
}

/* --- all runs --- */

struct exploration {
    const struct steps_case *what;
    unsigned preemptions;
    struct steps_found *found;
    struct change schedule[SWITCHES_MAX];
};

static void judge(struct exploration *e, const struct step *trace, unsigned count)
{
    struct steps_found *found = e->found;
    char complaint[512] = "";
    bool stuck = turns.stuck, diverged = turns.diverged;
    e->what->judge(e->what->ctx, complaint, sizeof complaint);
    found->schedules++;
    found->steps += count;
    found->diverged += diverged;
    found->stuck += stuck;
    if (stuck)
        snprintf(complaint, sizeof complaint, "all sleep, and nobody wakes them");
    if (complaint[0] == '\0' || found->faults++ > 0)
        return;
    RS_AUTO(rs_buf_release) struct rs_buf text;
    rs_buf_init(&text, sizeof found->first - 1);
    rs_buf_add_c(&text, complaint);
    tell_schedule(&text, trace, count);
    snprintf(found->first, sizeof found->first, "%s", rs_buf_z(&text));
}

static void explore(struct exploration *e, size_t len, unsigned cost);

/* The schedules that part from this run at a step. */
static void branch(struct exploration *e, size_t len, unsigned cost, const struct step *step, unsigned number)
{
    for (unsigned actor = 0; actor < e->what->actors && e->found->faults == 0; actor++) {
        unsigned more = step->free ? 0 : 1;
        if (actor == step->actor || (step->enabled & 1u << actor) == 0 || cost + more > e->preemptions)
            continue;
        RS_ASSERT(len < SWITCHES_MAX);
        e->schedule[len] = (struct change){number, actor};
        explore(e, len + 1, cost + more);
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as a schedule is long */
static void explore(struct exploration *e, size_t len, unsigned cost)
{
    RS_AUTO(rs_free_ptr) struct step *trace = rs_malloc(STEPS_MAX * sizeof *trace);
    e->what->prepare(e->what->ctx);
    unsigned count = run(e->what, e->schedule, len, trace);
    bool diverged = turns.diverged;
    judge(e, trace, count);
    unsigned from = len > 0 ? e->schedule[len - 1].step + 1 : 0;
    for (unsigned i = from; i < count && !diverged && e->found->faults == 0; i++)
        branch(e, len, cost, &trace[i], i);
}

void steps_explore(const struct steps_case *what, unsigned preemptions, struct steps_found *out)
{
    struct exploration e = {.what = what, .preemptions = preemptions, .found = out};
    RS_ASSERT(what->actors <= STEPS_ACTORS);
    *out = (struct steps_found){0};
    explore(&e, 0, 0);
}

/* --- the storage --- */

struct stepped {
    struct rs_storage storage;
    struct rs_storage *inner;
    int64_t age_s;
    size_t written_count;
    char *written[WRITTEN_MAX]; /* since all was made older */
    enum steps_lie (*lie)(void *ctx, enum steps_call call, const char *path);
    void *lie_ctx;
};

struct stepped_file {
    struct rs_storage_file file;
    struct rs_storage_file *inner;
};

static struct stepped *of(struct rs_storage *storage)
{
    return (struct stepped *)storage;
}

static struct rs_storage *inner_of(struct rs_storage *storage)
{
    return of(storage)->inner;
}

/* Only one goes at a time, so nothing here is locked. */
static bool is_written(const struct stepped *s, const char *path)
{
    for (size_t i = 0; i < s->written_count; i++)
        if (strcmp(s->written[i], path) == 0)
            return true;
    return false;
}

static void note_written(struct rs_storage *storage, const char *path)
{
    struct stepped *s = of(storage);
    if (is_written(s, path))
        return;
    RS_ASSERT(s->written_count < WRITTEN_MAX);
    s->written[s->written_count++] = rs_strdup(path);
}

static void forget_written(struct stepped *s)
{
    for (size_t i = 0; i < s->written_count; i++)
        rs_free_ptr(&s->written[i]);
    s->written_count = 0;
}

static enum steps_lie lie_of(struct rs_storage *storage, enum steps_call call, const char *path)
{
    struct stepped *s = of(storage);
    return s->lie != NULL ? s->lie(s->lie_ctx, call, path) : STEPS_TRUE;
}

/* Before each call. */
static rs_rc step(struct rs_storage *storage, enum steps_call call, const char *path, struct rs_err *err)
{
    if (strstr(path, "/_uploads/") != NULL)
        return RS_OK;
    if (!take_turn(path))
        return rs_err_set(err, RS_E_IO, "all sleep");
    if (lie_of(storage, call, path) == STEPS_ABSENT)
        return rs_err_set(err, RS_E_NOT_FOUND, "%s is hidden", path);
    return RS_OK;
}

static void stepped_free(struct rs_storage *storage)
{
    struct stepped *s = of(storage);
    rs_storage_free(&s->inner);
    forget_written(s);
    free(s);
}

static void make_older(struct rs_storage *storage, const char *path, struct rs_storage_stat *st)
{
    struct stepped *s = of(storage);
    if (!st->is_directory && (!is_written(s, path) || lie_of(storage, STEPS_LOOK, path) == STEPS_OLD))
        st->mtime_s -= s->age_s;
}

static rs_rc stepped_stat(struct rs_storage *storage, const char *path, struct rs_storage_stat *out, struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_LOOK, path, err));
    RS_TRY(rs_storage_stat(inner_of(storage), path, out, err));
    make_older(storage, path, out);
    return RS_OK;
}

static rs_rc stepped_read(struct rs_storage *storage, const char *path, struct rs_buf *out, struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_LOOK, path, err));
    return rs_storage_read(inner_of(storage), path, out, err);
}

static rs_rc stepped_open(struct rs_storage *storage, const char *path, struct rs_source *out,
                          struct rs_storage_stat *out_stat, struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_LOOK, path, err));
    RS_TRY(rs_storage_open(inner_of(storage), path, out, out_stat, err));
    if (out_stat != NULL)
        make_older(storage, path, out_stat);
    return RS_OK;
}

static rs_rc stepped_put(struct rs_storage *storage, const char *path, rs_str bytes, struct rs_storage_batch *batch,
                         struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_CHANGE, path, err));
    note_written(storage, path);
    return rs_storage_put(inner_of(storage), path, bytes, batch, err);
}

static rs_rc stepped_replace(struct rs_storage *storage, const char *path, rs_str bytes, rs_storage_accept *accept,
                             void *ctx, struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_CHANGE, path, err));
    RS_TRY(rs_storage_replace(inner_of(storage), path, bytes, accept, ctx, batch, err));
    note_written(storage, path);
    return RS_OK;
}

static rs_rc stepped_keep(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                          struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_LOOK, path, err));
    return rs_storage_keep(inner_of(storage), path, batch, err);
}

static rs_rc stepped_touch(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_TOUCH, path, err));
    if (lie_of(storage, STEPS_TOUCH, path) == STEPS_IGNORED)
        return RS_OK;
    RS_TRY(rs_storage_touch(inner_of(storage), path, err));
    note_written(storage, path);
    return RS_OK;
}

static void stepped_near(struct rs_storage *storage, const char *path)
{
    rs_storage_near(inner_of(storage), path);
}

static rs_rc stepped_mkdir(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                           struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_CHANGE, path, err));
    return rs_storage_mkdir(inner_of(storage), path, batch, err);
}

static rs_rc stepped_remove(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                            struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_CHANGE, path, err));
    return rs_storage_remove(inner_of(storage), path, batch, err);
}

static rs_rc stepped_remove_if(struct rs_storage *storage, const char *path, rs_storage_accept *accept, void *ctx,
                               struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_CHANGE, path, err));
    return rs_storage_remove_if(inner_of(storage), path, accept, ctx, batch, err);
}

static rs_rc stepped_prune(struct rs_storage *storage, const char *path, unsigned levels,
                           struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_CHANGE, path, err));
    return rs_storage_prune(inner_of(storage), path, levels, batch, err);
}

static rs_rc stepped_scan(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                          struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_LOOK, path, err));
    return rs_storage_scan(inner_of(storage), path, visit, ctx, err);
}

static rs_rc stepped_scan_all(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                              struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_LOOK, path, err));
    return rs_storage_scan_all(inner_of(storage), path, visit, ctx, err);
}

static rs_rc stepped_move(struct rs_storage *storage, const char *from, const char *to, struct rs_storage_batch *batch,
                          struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_CHANGE, from, err));
    note_written(storage, to);
    return rs_storage_move(inner_of(storage), from, to, batch, err);
}

static rs_rc stepped_sync(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err)
{
    return rs_storage_sync(inner_of(storage), batch, err);
}

static uint64_t stepped_flushes(const struct rs_storage *storage)
{
    return rs_storage_flushes(((const struct stepped *)storage)->inner);
}

static rs_rc stepped_append_create(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_CHANGE, path, err));
    note_written(storage, path);
    return rs_storage_append_create(inner_of(storage), path, err);
}

static rs_rc stepped_append_open(struct rs_storage *storage, const char *path, struct rs_storage_file **out,
                                 uint64_t *out_size, struct rs_err *err)
{
    RS_TRY(step(storage, STEPS_CHANGE, path, err));
    struct rs_storage_file *inner;
    RS_TRY(rs_storage_append_open(inner_of(storage), path, &inner, out_size, err));
    struct stepped_file *file = rs_calloc(1, sizeof *file);
    file->file.storage = storage;
    file->inner = inner;
    *out = &file->file;
    return RS_OK;
}

static rs_rc stepped_append(struct rs_storage_file *file, const void *data, size_t len, struct rs_err *err)
{
    return rs_storage_append(((struct stepped_file *)file)->inner, data, len, err);
}

static rs_rc stepped_append_read(struct rs_storage_file *file, uint64_t offset, void *buf, size_t cap, size_t *out_n,
                                 struct rs_err *err)
{
    return rs_storage_append_read(((struct stepped_file *)file)->inner, offset, buf, cap, out_n, err);
}

static bool stepped_append_trusted(const struct rs_storage_file *file)
{
    return rs_storage_append_trusted(((const struct stepped_file *)file)->inner);
}

static void stepped_append_close(struct rs_storage_file *file)
{
    rs_storage_append_close(&((struct stepped_file *)file)->inner);
    free(file);
}

/* What is there already stays, as old as it is. */
static rs_rc stepped_publish(struct rs_storage_file *file, const char *path, struct rs_storage_batch *batch,
                             struct rs_err *err)
{
    struct rs_storage_stat st;
    RS_TRY(step(file->storage, STEPS_CHANGE, path, err));
    bool is_new = rs_storage_stat(inner_of(file->storage), path, &st, NULL) != RS_OK;
    RS_TRY(rs_storage_publish(&((struct stepped_file *)file)->inner, path, batch, err));
    if (is_new)
        note_written(file->storage, path);
    return RS_OK;
}

static const struct rs_storage_ops stepped_ops = {
    .name = "stepped",
    .free = stepped_free,
    .stat = stepped_stat,
    .read = stepped_read,
    .open = stepped_open,
    .put = stepped_put,
    .replace = stepped_replace,
    .keep = stepped_keep,
    .touch = stepped_touch,
    .near = stepped_near,
    .mkdir = stepped_mkdir,
    .remove = stepped_remove,
    .remove_if = stepped_remove_if,
    .prune = stepped_prune,
    .scan = stepped_scan,
    .scan_all = stepped_scan_all,
    .move = stepped_move,
    .sync = stepped_sync,
    .flushes = stepped_flushes,
    .append_create = stepped_append_create,
    .append_open = stepped_append_open,
    .append = stepped_append,
    .append_read = stepped_append_read,
    .append_trusted = stepped_append_trusted,
    .append_close = stepped_append_close,
    .publish = stepped_publish,
};

void steps_storage_new(struct rs_storage *inner, struct rs_storage **out)
{
    struct stepped *s = rs_calloc(1, sizeof *s);
    s->storage.ops = &stepped_ops;
    s->inner = inner;
    inner->uncounted = true;
    storage_count_as(&s->storage, inner->ops->name);
    *out = &s->storage;
}

void steps_storage_age(struct rs_storage *storage, int64_t seconds)
{
    of(storage)->age_s = seconds;
    forget_written(of(storage));
}

void steps_storage_lie(struct rs_storage *storage,
                       enum steps_lie (*lie)(void *ctx, enum steps_call call, const char *path), void *ctx)
{
    of(storage)->lie = lie;
    of(storage)->lie_ctx = ctx;
}
