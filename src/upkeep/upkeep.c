/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread for each task that is switched on sleeps on a condition until a run is due or the end is near. The threads
 * share nothing with others but `ending` (under the mutex, and as an atomic for the walks, which ask at every step) and
 * `running`, the number of threads that have not ended.
 */
#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "upkeep/collect.h"
#include "upkeep/retention.h"
#include "upkeep/upkeep_priv.h"

#define JITTER_MINUTES 60
#define PULLS_MS 30000 /* what is lost of pulls when the process is killed */
#define STOP_MS 2000   /* a disk that hangs does not keep the process */

struct task {
    const char *name;
    /* Whether it is switched on, and the time between two runs. The first one comes after rs_upkeep_jitter_ms. */
    bool (*due)(const struct rs_config *config, int64_t *out_interval_ms);
    void (*run)(const struct rs_upkeep_run *run);
    bool writes; /* read-only mode suspends it */
    bool last;   /* runs once more at the end, and says nothing of being suspended */
};

static bool purge_due(const struct rs_config *config, int64_t *out_interval_ms)
{
    *out_interval_ms = config->storage.purge.interval_ms;
    return config->storage.purge.enabled;
}

static bool retention_due(const struct rs_config *config, int64_t *out_interval_ms)
{
    *out_interval_ms = config->retention.interval_ms;
    return config->retention.rule_count > 0;
}

static bool pulls_due(const struct rs_config *config, int64_t *out_interval_ms)
{
    *out_interval_ms = PULLS_MS;
    return rs_retention_wants_pulls(&config->retention);
}

static bool collect_due(const struct rs_config *config, int64_t *out_interval_ms)
{
    *out_interval_ms = config->collection.interval_ms;
    return config->collection.enabled;
}

static bool check_due(const struct rs_config *config, int64_t *out_interval_ms)
{
    *out_interval_ms = config->check.interval_ms;
    return config->check.enabled && !config->check.repair;
}

static bool check_repair_due(const struct rs_config *config, int64_t *out_interval_ms)
{
    *out_interval_ms = config->check.interval_ms;
    return config->check.enabled && config->check.repair;
}

static const struct task tasks[] = {
    {"the purge of uploads", purge_due, rs_upkeep_purge, true, false},
    {"the check of the storage", check_due, rs_upkeep_check, false, false},
    {"the check of the storage, with repairs,", check_repair_due, rs_upkeep_check, true, false},
    {"retention", retention_due, rs_upkeep_retention, true, false},
    {"the record of pulls", pulls_due, rs_upkeep_pulls, true, true},
    {"the collection", collect_due, rs_upkeep_collect, true, false},
};

struct worker {
    struct rs_upkeep *upkeep;
    const struct task *task;
    int64_t interval_ms;
    pthread_t thread;
};

struct rs_upkeep {
    struct rs_upkeep_config config;
    struct rs_mutex mutex;
    pthread_cond_t changed;
    atomic_bool ending;
    size_t running; /* under the mutex */
    size_t count;
    struct worker workers[RS_COUNT(tasks)];
};

int64_t rs_upkeep_jitter_ms(int64_t interval_ms)
{
    uint32_t random;
    rs_random(&random, sizeof random);
    int64_t jitter = (int64_t)(random % JITTER_MINUTES) * 60 * 1000;
    return RS_MIN(jitter, interval_ms);
}

static bool goes_on(void *ctx)
{
    const struct worker *w = ctx;
    const struct rs_upkeep_config *config = &w->upkeep->config;
    return !atomic_load(&w->upkeep->ending) && (!w->task->writes || config->may_write(config->ctx));
}

static void run(struct worker *w)
{
    const struct rs_upkeep_config *c = &w->upkeep->config;
    const struct rs_upkeep_run run = {c->config, c->storage, c->registry,       c->state_dir,
                                      goes_on,   w,          c->on_tag_removed, c->ctx};
    bool ending = atomic_load(&w->upkeep->ending);
    if (ending ? w->task->last && c->may_write(c->ctx) : goes_on(w))
        w->task->run(&run);
    else if (!ending && !w->task->last)
        rs_log(RS_LOG_INFO, "%s does not run: the registry is in read-only mode", w->task->name);
}

/* False: the end has come. */
static bool sleep_until(struct rs_upkeep *u, int64_t due_ms)
{
    rs_mutex_lock(&u->mutex);
    while (!atomic_load(&u->ending) && rs_mono_ms() < due_ms)
        rs_cond_wait_ms(&u->changed, &u->mutex, due_ms - rs_mono_ms());
    rs_mutex_unlock(&u->mutex);
    return !atomic_load(&u->ending);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct rs_upkeep *u = w->upkeep;
    for (int64_t due_ms = rs_mono_ms() + rs_upkeep_jitter_ms(w->interval_ms); sleep_until(u, due_ms);
         due_ms = rs_mono_ms() + w->interval_ms)
        run(w);
    run(w); /* for those that have something to do at the end */
    rs_mutex_lock(&u->mutex);
    u->running--;
    pthread_cond_broadcast(&u->changed);
    rs_mutex_unlock(&u->mutex);
    return NULL;
}

/* A deep walk needs an ordinary stack. */
static rs_rc start_worker(struct rs_upkeep *u, const struct task *task, int64_t interval_ms, struct rs_err *err)
{
    struct worker *w = &u->workers[u->count];
    *w = (struct worker){.upkeep = u, .task = task, .interval_ms = interval_ms};
    rs_mutex_lock(&u->mutex);
    u->running++;
    rs_mutex_unlock(&u->mutex);
    if (pthread_create(&w->thread, NULL, worker_main, w) == 0) {
        u->count++;
        return RS_OK;
    }
    rs_mutex_lock(&u->mutex);
    u->running--;
    rs_mutex_unlock(&u->mutex);
    return rs_err_set(err, RS_E_UNAVAILABLE, "no thread could be had for %s", task->name);
}

rs_rc rs_upkeep_start(const struct rs_upkeep_config *config, struct rs_upkeep **out, struct rs_err *err)
{
    rs_rc rc = RS_OK;
    int64_t interval_ms;
    *out = NULL;
    rs_collect_forget(config->storage, config->config->collection.grace_ms / 1000);
    struct rs_upkeep *u = rs_calloc(1, sizeof *u);
    u->config = *config;
    rs_mutex_init(&u->mutex, RS_LOCK_UPKEEP);
    rs_cond_init(&u->changed);
    for (size_t i = 0; rc == RS_OK && i < RS_COUNT(tasks); i++)
        if (tasks[i].due(config->config, &interval_ms))
            rc = start_worker(u, &tasks[i], interval_ms, err);
    if (rc == RS_OK && u->count > 0)
        *out = u;
    else
        rs_upkeep_stop(&u);
    return rc;
}

static bool wait_for_workers(struct rs_upkeep *u)
{
    int64_t end_ms = rs_mono_ms() + STOP_MS;
    rs_mutex_lock(&u->mutex);
    atomic_store(&u->ending, true);
    pthread_cond_broadcast(&u->changed);
    while (u->running > 0 && rs_mono_ms() < end_ms)
        rs_cond_wait_ms(&u->changed, &u->mutex, end_ms - rs_mono_ms());
    bool ended = u->running == 0;
    rs_mutex_unlock(&u->mutex);
    return ended;
}

bool rs_upkeep_stop(struct rs_upkeep **upkeep)
{
    struct rs_upkeep *u = rs_take(upkeep);
    if (u == NULL)
        return true;
    if (!wait_for_workers(u))
        return false;
    for (size_t i = 0; i < u->count; i++)
        pthread_join(u->workers[i].thread, NULL);
    pthread_cond_destroy(&u->changed);
    rs_mutex_release(&u->mutex);
    free(u);
    return true;
}
