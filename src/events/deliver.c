/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of an endpoint: reads its queue in order, sends, and goes on only when what it sent was taken. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "events/events_priv.h"
#include "events/record.h"
#include "metrics/metrics.h"

#define REDIRECTS 10
#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 60000
#define IDLE_MS 60000
#define STUCK_MS 200

/* Up to the threshold the tries come quickly; then the configured pause doubles from try to try. */
int64_t events_pause_ms(const struct rs_config_endpoint *config, uint64_t failures)
{
    const bool beyond = failures >= config->threshold;
    int64_t pause = beyond ? config->backoff_ms : PAUSE_MIN_MS;
    int64_t most = beyond ? RS_MAX(config->backoff_ms, PAUSE_MAX_MS) : config->backoff_ms;

    for (uint64_t n = beyond ? failures - config->threshold : failures - 1; n > 0 && pause < most; n--)
        pause *= 2;
    return RS_MIN(pause, most);
}

/* RS_OK: it was taken. As with registry:2, by any status below 400. */
static rs_rc send(struct endpoint *e, rs_str envelope, size_t count, struct rs_err *err)
{
    const struct rs_client_request request = {
        .method = "POST",
        .url = e->config->url,
        .headers = e->headers,
        .header_count = e->header_count,
        .body = envelope,
        .timeout_ms = e->config->timeout_ms,
        .max_redirects = REDIRECTS,
        .cancel = &e->all->cancel,
    };
    RS_AUTO(rs_client_response_release) struct rs_client_response response = {0};

    if (rs_client_do(&request, &response, err) != RS_OK) {
        atomic_fetch_add(&e->errors, count);
        return err->rc;
    }
    rs_metrics_add(RS_METRIC_NOTIFICATIONS_STATUS, RS_LABELS(rs_metrics_code(response.status), e->label), 1);
    if (response.status >= 200 && response.status < 400) {
        atomic_fetch_add(&e->successes, count);
        return RS_OK;
    }
    atomic_fetch_add(&e->failures, count);
    return rs_err_set(err, RS_E_REMOTE, "%s: answered with status %d", e->where, response.status);
}

static uint64_t pending(struct endpoint *e)
{
    uint64_t count, dropped, bytes;

    spool_stats(&e->spool, &count, &dropped, &bytes);
    return count;
}

/* One line when it begins, one when the pauses begin, one when it is over. */
static void tell(struct endpoint *e, uint64_t failures, const struct rs_err *err)
{
    const char *name = e->name;

    if (err == NULL)
        rs_log(RS_LOG_INFO, "notifications: %s takes events again after %llu failures; %llu wait", name,
               (unsigned long long)failures, (unsigned long long)pending(e));
    else if (failures == 1)
        rs_log(RS_LOG_WARN, "notifications: %s takes no events, trying again: %s", name, err->text);
    else if (failures == e->config->threshold)
        rs_log(RS_LOG_WARN, "notifications: %s has failed %llu times, trying less often; %llu wait: %s", name,
               (unsigned long long)failures, (unsigned long long)pending(e), err->text);
}

/* While the program stops, what is sent at once is sent; a failure, or the end of the grace, ends it. */
static bool may_go_on(const struct endpoint *e, uint64_t failures)
{
    int64_t stop_at = atomic_load(&e->all->stop_at);

    return stop_at == 0 || (failures == 0 && rs_mono_ms() < stop_at);
}

/* Sends what is read until it is taken. False: the program stops. */
static bool deliver(struct endpoint *e, rs_str envelope, size_t count)
{
    struct rs_err err;
    uint64_t failures = 0;

    while (may_go_on(e, failures)) {
        if (send(e, envelope, count, &err) == RS_OK) {
            if (failures > 0)
                tell(e, failures, NULL);
            return true;
        }
        if (err.rc == RS_E_UNAVAILABLE) /* cancelled */
            return false;
        tell(e, ++failures, &err);
        spool_pause(&e->spool, events_pause_ms(e->config, failures));
    }
    return false;
}

/* False: nothing is left, or the program stops. */
static bool deliver_next(struct endpoint *e, struct rs_buf *envelope)
{
    struct spool_mark mark;
    size_t count;

    rs_buf_clear(envelope);
    rs_buf_add_c(envelope, "{\"events\":[");
    spool_read(&e->spool, e->batch, envelope, &count, &mark);
    if (count == 0)
        return false;
    rs_buf_add_c(envelope, "]}");
    RS_ASSERT(!envelope->overflow);
    if (!deliver(e, rs_buf_str(envelope), count))
        return false;
    spool_done(&e->spool, &mark);
    return true;
}

void *events_deliver(void *arg)
{
    struct endpoint *e = arg;
    RS_AUTO(rs_buf_release) struct rs_buf envelope;

    rs_buf_init(&envelope, 2 * RECORD_MAX + 4096);
    while (atomic_load(&e->all->stop_at) == 0)
        if (spool_wait(&e->spool, IDLE_MS) && !deliver_next(e, &envelope))
            spool_pause(&e->spool, STUCK_MS); /* the queue's file cannot be opened now */
    while (may_go_on(e, 0) && deliver_next(e, &envelope))
        ;
    rs_mutex_lock(&e->all->lock);
    e->all->delivering--;
    pthread_cond_broadcast(&e->all->done);
    rs_mutex_unlock(&e->all->lock);
    return NULL;
}
