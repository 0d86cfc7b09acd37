/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning and the end of rs_events; the argument about its threads stands in events.c. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "events/events_priv.h"

static struct rs_events *allocate(const struct rs_config *config)
{
    struct rs_events *events = rs_calloc(1, sizeof *events);

    events->config = &config->notifications;
    events->endpoints = rs_calloc(events->config->endpoint_count, sizeof *events->endpoints);
    events->source = event_source(config->http.addr);
    rs_mutex_init(&events->lock, RS_LOCK_EVENTS);
    rs_cond_init(&events->work);
    rs_cond_init(&events->done);
    rs_buf_init(&events->queue, EVENTS_QUEUE_MAX);
    return events;
}

static rs_rc open_endpoints(struct rs_events *events, const char *directory, struct rs_err *err)
{
    RS_ASSERT(events->config->endpoint_count <= RS_CONFIG_ENDPOINTS_MAX);
    for (size_t i = 0; i < events->config->endpoint_count; i++) {
        struct endpoint *e = &events->endpoints[events->count++];
        e->all = events;
        RS_TRY(endpoint_init(e, events->config, i, directory, err));
        events->wanted |= ~e->ignored_actions;
        if (e->spool.pending > 0)
            rs_log(RS_LOG_INFO, "notifications: %llu events of an earlier run wait for %s",
                   (unsigned long long)e->spool.pending, e->name);
    }
    return RS_OK;
}

static bool is_used(const struct rs_events *events, const char *name)
{
    for (size_t i = 0; i < events->count; i++) {
        const char *slash = strrchr(events->endpoints[i].spool.directory, '/');
        if (strcmp(slash + 1, name) == 0)
            return true;
    }
    return false;
}

/* Nobody delivers the queue of an endpoint that was taken out of the configuration. */
static void tell_of_orphans(const struct rs_events *events, const char *directory)
{
    DIR *dir = opendir(directory);

    if (dir == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.' && !is_used(events, entry->d_name))
            rs_log(RS_LOG_WARN,
                   "notifications: %s/%s is the queue of no configured endpoint; remove it, or name one so", directory,
                   entry->d_name);
    closedir(dir);
}

static int start_delivery(struct endpoint *e)
{
    rs_mutex_lock(&e->all->lock);
    e->all->delivering++; /* the thread counts itself out */
    rs_mutex_unlock(&e->all->lock);
    int errnum = rs_thread_start(&e->thread, events_deliver, e);
    e->is_running = errnum == 0;
    if (e->is_running)
        return 0;
    rs_mutex_lock(&e->all->lock);
    e->all->delivering--;
    rs_mutex_unlock(&e->all->lock);
    return errnum;
}

static rs_rc start_threads(struct rs_events *events, struct rs_err *err)
{
    int errnum = rs_thread_start(&events->writer, events_write, events);

    events->is_writing = errnum == 0;
    for (size_t i = 0; i < events->count && errnum == 0; i++)
        errnum = start_delivery(&events->endpoints[i]);
    return errnum == 0 ? RS_OK : rs_err_sys(err, errnum, "notifications: a thread cannot be started");
}

static void measure(void *ctx)
{
    struct rs_events *events = ctx;
    struct rs_events_stats stats;

    for (size_t i = 0; rs_events_stats(events, i, &stats); i++) {
        const enum rs_value endpoint = events->endpoints[i].label;
        rs_metrics_set(RS_METRIC_NOTIFICATIONS, RS_LABELS(RS_VALUE_EVENT_EVENTS, endpoint), stats.events);
        rs_metrics_set(RS_METRIC_NOTIFICATIONS, RS_LABELS(RS_VALUE_EVENT_SUCCESSES, endpoint), stats.successes);
        rs_metrics_set(RS_METRIC_NOTIFICATIONS, RS_LABELS(RS_VALUE_EVENT_FAILURES, endpoint), stats.failures);
        rs_metrics_set(RS_METRIC_NOTIFICATIONS, RS_LABELS(RS_VALUE_EVENT_ERRORS, endpoint), stats.errors);
        rs_metrics_set(RS_METRIC_NOTIFICATIONS, RS_LABELS(RS_VALUE_EVENT_DROPPED, endpoint), stats.dropped);
        rs_metrics_set(RS_METRIC_NOTIFICATIONS_PENDING, RS_LABELS(endpoint), stats.pending);
        rs_metrics_set(RS_METRIC_NOTIFICATIONS_BYTES, RS_LABELS(endpoint), stats.bytes);
    }
}

static void free_at_once(struct rs_events **events)
{
    rs_events_free(events, 0);
}

rs_rc rs_events_new(const struct rs_config *config, const char *state_dir, struct rs_events **out, struct rs_err *err)
{
    RS_AUTO(free_at_once) struct rs_events *events = NULL;
    char directory[PATH_MAX];

    *out = NULL;
    if (config->notifications.endpoint_count == 0)
        return RS_OK;
    if (snprintf(directory, sizeof directory, "%s/notifications", state_dir) >= (int)sizeof directory)
        return rs_err_set(err, RS_E_CONFIG, "the path of the state directory is too long");
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return rs_err_sys(err, errno, "make %s", directory);
    events = allocate(config);
    RS_TRY(open_endpoints(events, directory, err));
    tell_of_orphans(events, directory);
    RS_TRY(start_threads(events, err));
    rs_metrics_collect(measure, events);
    *out = rs_take(&events);
    return RS_OK;
}

static void stop_writer(struct rs_events *events)
{
    rs_mutex_lock(&events->lock);
    events->stopping = true;
    pthread_cond_signal(&events->work);
    rs_mutex_unlock(&events->lock);
    if (events->is_writing)
        pthread_join(events->writer, NULL);
}

/* Threads that have nothing more to send end by themselves; at the end of the grace, requests are broken off. */
static void stop_deliveries(struct rs_events *events, int64_t grace_ms)
{
    int64_t end = rs_mono_ms() + grace_ms;

    atomic_store(&events->stop_at, end);
    for (size_t i = 0; i < events->count; i++)
        if (events->endpoints[i].is_open)
            spool_close(&events->endpoints[i].spool);
    rs_mutex_lock(&events->lock);
    while (events->delivering > 0 && rs_mono_ms() < end)
        rs_cond_wait_ms(&events->done, &events->lock, RS_MAX(end - rs_mono_ms(), 1));
    rs_mutex_unlock(&events->lock);
    atomic_store(&events->cancel, true);
    for (size_t i = 0; i < events->count; i++)
        if (events->endpoints[i].is_running)
            pthread_join(events->endpoints[i].thread, NULL);
}

void rs_events_free(struct rs_events **events, int64_t grace_ms)
{
    struct rs_events *e = *events;

    if (e == NULL)
        return;
    rs_metrics_forget(e);
    stop_writer(e);
    stop_deliveries(e, grace_ms);
    for (size_t i = 0; i < e->count; i++) {
        if (e->endpoints[i].is_running && e->endpoints[i].spool.pending > 0)
            rs_log(RS_LOG_INFO, "notifications: %llu events for %s are kept for the next start",
                   (unsigned long long)e->endpoints[i].spool.pending, e->endpoints[i].name);
        endpoint_release(&e->endpoints[i]);
    }
    rs_buf_release(&e->queue);
    pthread_cond_destroy(&e->work);
    pthread_cond_destroy(&e->done);
    rs_mutex_release(&e->lock);
    free(e->endpoints);
    rs_free_ptr(&e->source);
    free(rs_take(events));
}
