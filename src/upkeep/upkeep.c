/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread sleeps on a condition until a run is due or the end is near. It shares nothing with others but `ending`
 * (under the mutex, and as an atomic for the walk, which asks after each directory) and `ended`.
 */
#include "upkeep/upkeep.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry/upload.h"

#define JITTER_MINUTES 60
#define STOP_MS 2000 /* a disk that hangs does not keep the process */

struct rs_upkeep {
    struct rs_upkeep_config config;
    struct rs_registry *registry;
    struct rs_mutex mutex;
    pthread_cond_t changed;
    atomic_bool ending;
    bool ended; /* under the mutex */
    pthread_t thread;
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
    struct rs_upkeep *u = ctx;
    return !atomic_load(&u->ending) && u->config.may_write(u->config.ctx);
}

static void tell(void *ctx, rs_str repository, rs_str uuid, int64_t began_s)
{
    const struct rs_upkeep *u = ctx;
    char began[RS_RFC3339_SIZE];
    enum rs_log_level level = u->config.purge->dry_run ? RS_LOG_INFO : RS_LOG_DEBUG;
    rs_rfc3339(began_s, began);
    const struct rs_log_field fields[] = {
        RS_LOG_STR("vars.name", repository),
        RS_LOG_STR("vars.uuid", uuid),
        RS_LOG_STR("startedat", rs_str_c(began)),
    };
    rs_log_event(level,
                 u->config.purge->dry_run ? "an abandoned upload would be removed" : "removed an abandoned upload",
                 fields, RS_COUNT(fields));
}

static void log_run(const struct rs_upkeep *u, const struct rs_upload_purged *found, rs_rc rc, const struct rs_err *err,
                    int64_t ms)
{
    bool bad = rc != RS_OK || found->failed > 0;
    const struct rs_log_field fields[] = {
        RS_LOG_NUM("repositories", found->repositories),
        RS_LOG_NUM("uploads", found->uploads),
        RS_LOG_NUM("removed", found->removed),
        RS_LOG_NUM("failed", found->failed),
        RS_LOG_STR("dryrun", u->config.purge->dry_run ? RS_STR("true") : RS_STR("false")),
        RS_LOG_NUM("milliseconds", ms),
        RS_LOG_STR("err.detail", rs_str_c(bad ? err->text : NULL)),
    };
    const char *text = rc != RS_OK                      ? "the purge of uploads broke off"
                       : !goes_on((void *)(uintptr_t)u) ? "the purge of uploads was ended early"
                                                        : "uploads were purged";
    rs_log_event(bad ? RS_LOG_ERROR : RS_LOG_INFO, text, fields, RS_COUNT(fields));
}

static void run(struct rs_upkeep *u)
{
    struct rs_err err = {0};
    struct rs_upload_purged found;
    const struct rs_config_purge *config = u->config.purge;
    const struct rs_upload_purge purge = {
        .age_s = config->age_ms / 1000, .dry_run = config->dry_run, .goes_on = goes_on, .tell = tell, .ctx = u};
    if (!goes_on(u)) {
        rs_log(RS_LOG_INFO, "uploads are not purged: the registry is in read-only mode");
        return;
    }
    int64_t began_ms = rs_mono_ms();
    rs_rc rc = rs_upload_purge(u->registry, &purge, &found, &err);
    log_run(u, &found, rc, &err, rs_mono_ms() - began_ms);
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

static void *upkeep_main(void *arg)
{
    struct rs_upkeep *u = arg;
    int64_t interval_ms = u->config.purge->interval_ms;
    for (int64_t due_ms = rs_mono_ms() + rs_upkeep_jitter_ms(interval_ms); sleep_until(u, due_ms);
         due_ms = rs_mono_ms() + interval_ms)
        run(u);
    rs_mutex_lock(&u->mutex);
    u->ended = true;
    pthread_cond_broadcast(&u->changed);
    rs_mutex_unlock(&u->mutex);
    return NULL;
}

static void upkeep_free(struct rs_upkeep *u)
{
    pthread_cond_destroy(&u->changed);
    rs_mutex_release(&u->mutex);
    free(u);
}

rs_rc rs_upkeep_start(const struct rs_upkeep_config *config, struct rs_registry *registry, struct rs_upkeep **out,
                      struct rs_err *err)
{
    *out = NULL;
    if (!config->purge->enabled)
        return RS_OK;
    struct rs_upkeep *u = rs_calloc(1, sizeof *u);
    u->config = *config;
    u->registry = registry;
    rs_mutex_init(&u->mutex, RS_LOCK_UPKEEP);
    rs_cond_init(&u->changed);
    int errnum = pthread_create(&u->thread, NULL, upkeep_main, u); /* a deep walk needs an ordinary stack */
    if (errnum != 0) {
        upkeep_free(u);
        return rs_err_set(err, RS_E_UNAVAILABLE, "no thread could be had for the purge of uploads");
    }
    *out = u;
    return RS_OK;
}

bool rs_upkeep_stop(struct rs_upkeep **upkeep)
{
    struct rs_upkeep *u = rs_take(upkeep);
    if (u == NULL)
        return true;
    int64_t end_ms = rs_mono_ms() + STOP_MS;
    rs_mutex_lock(&u->mutex);
    atomic_store(&u->ending, true);
    pthread_cond_broadcast(&u->changed);
    while (!u->ended && rs_mono_ms() < end_ms)
        rs_cond_wait_ms(&u->changed, &u->mutex, end_ms - rs_mono_ms());
    bool ended = u->ended;
    rs_mutex_unlock(&u->mutex);
    if (!ended)
        return false;
    pthread_join(u->thread, NULL);
    upkeep_free(u);
    return true;
}
