/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that puts queued events on disk; see the head of events.c. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "events/events_priv.h"
#include "events/record.h"

#define QUEUE_PULLS (EVENTS_QUEUE_MAX / 2) /* of them for pulls, which nobody waits for */
#define COMPLAINT_MS 60000                 /* between two lines of the log about the same trouble */

/* In the queue: this, then the event. */
struct entry {
    uint64_t endpoints; /* bits */
    size_t length;
};

bool events_has_room_locked(const struct rs_events *events, size_t len, enum rs_event_action action)
{
    size_t max = action == RS_EVENT_PULL ? QUEUE_PULLS : EVENTS_QUEUE_MAX;

    return events->queue.len + sizeof(struct entry) + len <= max;
}

void events_put_locked(struct rs_events *events, uint64_t endpoints, rs_str json)
{
    const struct entry entry = {endpoints, json.len};

    rs_buf_append(&events->queue, &entry, sizeof entry);
    rs_buf_add(&events->queue, json);
    RS_ASSERT(!events->queue.overflow);
    events->put++;
    pthread_cond_signal(&events->work);
}

static void distribute(struct rs_events *events, rs_str queue)
{
    struct entry entry;

    while (queue.len > 0) {
        memcpy(&entry, queue.ptr, sizeof entry);
        rs_str json = rs_str_sub(queue, sizeof entry, entry.length);
        queue = rs_str_from(queue, sizeof entry + entry.length);
        for (size_t i = 0; i < events->count; i++)
            if ((entry.endpoints >> i & 1) != 0)
                record_add(&events->endpoints[i].writing, json);
    }
}

/* Memory that an onrush has made is given back. */
static void clear(struct rs_buf *buf)
{
    if (buf->cap > EVENTS_QUEUE_MAX / 16) {
        size_t max = buf->max;
        rs_buf_release(buf);
        rs_buf_init(buf, max);
    }
    rs_buf_clear(buf);
}

/* What could not be kept is lost: who pulled or pushed has got their answer, or must not wait for a full disk. */
static void append_all(struct rs_events *events, int64_t *complained)
{
    struct rs_err err;

    for (size_t i = 0; i < events->count; i++) {
        struct endpoint *e = &events->endpoints[i];
        if (e->writing.len == 0)
            continue;
        bool failed = spool_append(&e->spool, rs_buf_str(&e->writing), &err) != RS_OK;
        clear(&e->writing);
        if (failed && (*complained == 0 || rs_mono_ms() - *complained > COMPLAINT_MS)) {
            *complained = rs_mono_ms();
            rs_log(RS_LOG_ERROR, "notifications: events for %s are lost, their queue cannot be written: %s", e->name,
                   err.text);
        }
    }
}

void *events_write(void *arg)
{
    struct rs_events *events = arg;
    RS_AUTO(rs_buf_release) struct rs_buf taken;
    int64_t complained = 0;

    rs_buf_init(&taken, EVENTS_QUEUE_MAX);
    rs_mutex_lock(&events->lock);
    while (events->queue.len > 0 || !events->stopping) {
        if (events->queue.len == 0) {
            rs_cond_wait(&events->work, &events->lock);
            continue;
        }
        const struct rs_buf swap = events->queue;
        events->queue = taken;
        taken = swap;
        uint64_t upto = events->put;
        rs_mutex_unlock(&events->lock);
        distribute(events, rs_buf_str(&taken));
        append_all(events, &complained);
        clear(&taken);
        rs_mutex_lock(&events->lock);
        events->written = upto;
        pthread_cond_broadcast(&events->done);
    }
    rs_mutex_unlock(&events->lock);
    return NULL;
}
