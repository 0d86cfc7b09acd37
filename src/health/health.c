/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CHECKS
 *
 * Each check has a thread of its own: one that waits for a peer, or for a disk that hangs, holds up no other. It runs
 at
 * once and then, counted from its end, in its interval. What it found is noted under the lock; the flag that requests
 * look at is made anew there, so it always fits the notes. The keeper is one thread more: a check that has not come
 back

 * health_hang_ms after its time is one that fails, until it does come back.
 *
 * The threads are not joined, since one may hang: whoever frees waits for their number to fall, for a moment.
 */
#include "health/health.h"

#include <sys/prctl.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "health/health_priv.h"
#include "metrics/metrics.h"

#define KEEPER_MS 1000
#define END_MS 2000
#define NAME_BYTES 1024

int64_t health_hang_ms = 20000;

struct check {
    struct rs_health *health;
    struct health_subject subject;
    char *name;
    enum rs_value value; /* of its metrics' label */
    /* Under the lock: */
    uint64_t failures; /* in a row */
    int64_t since_ms;  /* runs since then; 0: it does not run */
    bool failing;
    bool hangs;
    char text[RS_ERR_TEXT_MAX];
};

struct rs_health {
    atomic_bool ok;
    atomic_bool stop;
    struct rs_mutex lock;
    pthread_cond_t wake; /* when it stops */
    unsigned threads;
    size_t count;
    struct check checks[];
};

bool rs_health_ok(const struct rs_health *health)
{
    return health == NULL || atomic_load_explicit(&health->ok, memory_order_relaxed);
}

/* Several checks may ask the same server. */
static char *make_name(const struct rs_health *health, const struct check *check)
{
    struct rs_buf name;
    unsigned same = 1;
    rs_buf_init(&name, NAME_BYTES);
    health_name(&check->subject, &name);
    for (const struct check *c = health->checks; c != check; c++)
        if (rs_str_starts(rs_str_c(c->name), rs_buf_str(&name)))
            same += c->name[name.len] == '\0' || c->name[name.len] == '#';
    if (same > 1)
        rs_buf_printf(&name, "#%u", same);
    char *copy = rs_str_dup(rs_buf_str(&name));
    rs_buf_release(&name);
    return copy;
}

struct rs_health *rs_health_new(const struct rs_config_health *config, struct rs_storage *storage)
{
    struct rs_health *health = rs_calloc(1, sizeof *health + config->check_count * sizeof health->checks[0]);
    atomic_init(&health->ok, true);
    rs_mutex_init(&health->lock, RS_LOCK_HEALTH);
    rs_cond_init(&health->wake);
    for (; health->count < config->check_count; health->count++) {
        struct check *check = &health->checks[health->count];
        check->health = health;
        check->subject = (struct health_subject){&config->checks[health->count], storage, &health->stop};
        check->name = make_name(health, check);
        check->value = rs_metrics_value(RS_LABEL_CHECK, rs_str_c(check->name));
    }
    rs_metrics_set(RS_METRIC_HEALTHY, RS_NO_LABELS, 1);
    return health;
}

/* --- what was found --- */

static void judge_locked(struct rs_health *health)
{
    bool ok = true;
    for (size_t i = 0; i < health->count; i++)
        ok = ok && !health->checks[i].failing;
    atomic_store_explicit(&health->ok, ok, memory_order_relaxed);
    rs_metrics_set(RS_METRIC_HEALTHY, RS_NO_LABELS, ok);
}

static void count(const struct check *check, bool passed)
{
    rs_metrics_set(RS_METRIC_HEALTH_CHECK, RS_LABELS(check->value), passed);
    if (!passed)
        rs_metrics_add(RS_METRIC_HEALTH_FAILURES, RS_LABELS(check->value), 1);
}

static void note(struct check *check, rs_rc rc, const struct rs_err *err)
{
    struct rs_health *health = check->health;
    rs_mutex_lock(&health->lock);
    bool failed_before = check->failing;
    check->since_ms = 0;
    check->hangs = false;
    check->failures = rc == RS_OK ? 0 : check->failures + 1;
    check->failing = check->failures >= check->subject.config->threshold;
    snprintf(check->text, sizeof check->text, "%s", rc == RS_OK ? "" : err->text);
    bool failing = check->failing;
    judge_locked(health);
    rs_mutex_unlock(&health->lock);
    count(check, rc == RS_OK);
    if (failing && !failed_before)
        rs_log(RS_LOG_ERROR, "health check %s fails: %s; requests are answered with 503", check->name, err->text);
    else if (!failing && failed_before)
        rs_log(RS_LOG_INFO, "health check %s passes again", check->name);
}

/* The keeper's look at one check. */
static void watch(struct check *check, int64_t now_ms)
{
    struct rs_health *health = check->health;
    rs_mutex_lock(&health->lock);
    int64_t seconds = (now_ms - check->since_ms) / 1000;
    bool late = check->since_ms != 0 && now_ms - check->since_ms >= check->subject.config->timeout_ms + health_hang_ms;
    bool found = late && !check->hangs;
    if (late) {
        check->hangs = check->failing = true;
        snprintf(check->text, sizeof check->text, "it has not come back for %lld s", (long long)seconds);
        judge_locked(health);
    }
    rs_mutex_unlock(&health->lock);
    if (!found)
        return;
    count(check, false);
    rs_log(RS_LOG_ERROR, "health check %s has not come back for %lld s; requests are answered with 503", check->name,
           (long long)seconds);
}

/* --- threads --- */

/* False: it is time to end. */
static bool rest(struct rs_health *health, int64_t ms)
{
    int64_t end = rs_mono_ms() + ms;
    rs_mutex_lock(&health->lock);
    while (!atomic_load(&health->stop) && rs_mono_ms() < end)
        rs_cond_wait_ms(&health->wake, &health->lock, end - rs_mono_ms());
    rs_mutex_unlock(&health->lock);
    return !atomic_load(&health->stop);
}

static void leave(struct rs_health *health)
{
    rs_mutex_lock(&health->lock);
    health->threads--;
    pthread_cond_broadcast(&health->wake);
    rs_mutex_unlock(&health->lock);
}

static void *check_main(void *arg)
{
    struct check *check = arg;
    prctl(PR_SET_NAME, "check");
    do {
        struct rs_err err = {0};
        rs_mutex_lock(&check->health->lock);
        check->since_ms = rs_mono_ms();
        rs_mutex_unlock(&check->health->lock);
        rs_rc rc = health_check(&check->subject, &err);
        if (!atomic_load(&check->health->stop)) /* or it was cut short */
            note(check, rc, &err);
    } while (rest(check->health, check->subject.config->interval_ms));
    leave(check->health);
    return NULL;
}

static void *keeper_main(void *arg)
{
    struct rs_health *health = arg;
    prctl(PR_SET_NAME, "health");
    while (rest(health, KEEPER_MS))
        for (size_t i = 0; i < health->count; i++)
            watch(&health->checks[i], rs_mono_ms());
    leave(health);
    return NULL;
}

static rs_rc start_thread(struct rs_health *health, void *(*run)(void *arg), void *arg, struct rs_err *err)
{
    rs_mutex_lock(&health->lock);
    int rc = rs_thread_start(NULL, run, arg);
    health->threads += rc == 0;
    rs_mutex_unlock(&health->lock);
    return rc == 0 ? RS_OK : rs_err_sys(err, rc, "cannot start a thread for the health checks");
}

rs_rc rs_health_start(struct rs_health *health, struct rs_err *err)
{
    if (health->count > 0)
        RS_TRY(start_thread(health, keeper_main, health, err));
    for (size_t i = 0; i < health->count; i++)
        RS_TRY(start_thread(health, check_main, &health->checks[i], err));
    return RS_OK;
}

/* False: some are still there. */
static bool await_end(struct rs_health *health)
{
    int64_t end = rs_mono_ms() + END_MS;
    rs_mutex_lock(&health->lock);
    atomic_store(&health->stop, true);
    pthread_cond_broadcast(&health->wake);
    while (health->threads > 0 && rs_mono_ms() < end)
        rs_cond_wait_ms(&health->wake, &health->lock, end - rs_mono_ms());
    bool ended = health->threads == 0;
    rs_mutex_unlock(&health->lock);
    return ended;
}

bool rs_health_free(struct rs_health **healthp)
{
    struct rs_health *health = rs_take(healthp);
    if (health == NULL)
        return true;
    if (!await_end(health))
        return false;
    for (size_t i = 0; i < health->count; i++)
        free(health->checks[i].name);
    rs_mutex_release(&health->lock);
    pthread_cond_destroy(&health->wake);
    free(health);
    return true;
}

void rs_health_report(struct rs_health *health, struct rs_buf *out)
{
    char before = '{';
    if (health != NULL)
        rs_mutex_lock(&health->lock);
    for (size_t i = 0; health != NULL && i < health->count; i++) {
        const struct check *check = &health->checks[i];
        if (!check->failing)
            continue;
        rs_buf_add_char(out, before);
        rs_json_quote(out, rs_str_c(check->name));
        rs_buf_add_char(out, ':');
        rs_json_quote(out, rs_str_c(check->text));
        before = ',';
    }
    if (health != NULL)
        rs_mutex_unlock(&health->lock);
    rs_buf_add_c(out, before == '{' ? "{}" : "}");
}
