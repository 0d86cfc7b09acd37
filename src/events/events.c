/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EVENTS. A handler makes an event's JSON, puts it into a queue in memory under a short lock, and wakes the writer: the
 * one thread that appends to the queues on disk, in the order of that memory. So the events of a repository lie on disk
 * in the order in which their handlers had done their work, and each endpoint's own thread sends them in that order,
 * one envelope after the other, the next when the one before was taken.
 *
 * - A push, mount or delete waits until the writer has handed its event to the kernel, before it is answered: a kill of
 *   this process loses none. It does not wait for the disk: a loss of power may take what the kernel had not written
 *   back. A pull waits for nothing: a kill may take the pulls of the last milliseconds.
 * - The memory is bounded. When a disk hangs, pulls are dropped at half of it; the others wait for room, a second at
 *   most. The queues on disk are bounded: their oldest segment goes. Both are counted, and logged.
 * - An event is taken from a queue after it was taken by the endpoint: a kill in between sends it twice, with its id.
 *
 * Locks: the queue's (EVENTS), and each spool's (SPOOL); no file is touched under either.
 */
#include "events/events.h"

#include "base/clock.h"
#include "base/log.h"
#include "events/events_priv.h"
#include "events/record.h"

#define ROOM_MS 1000 /* a push waits no longer for a disk that hangs */
#define COMPLAIN_EVERY 1000

/* --- who wants what --- */

static bool is_ignored(const struct endpoint *e, enum rs_event_action action, rs_str media_type)
{
    if ((e->ignored_actions >> action & 1) != 0)
        return true;
    for (size_t i = 0; i < e->config->ignored_types.count; i++)
        if (rs_str_eq_c(media_type, e->config->ignored_types.items[i]))
            return true;
    return false;
}

static uint64_t who_wants(const struct rs_events *events, enum rs_event_action action, rs_str media_type)
{
    uint64_t who = 0;

    if ((events->wanted >> action & 1) == 0)
        return 0;
    for (size_t i = 0; i < events->count; i++)
        if (!is_ignored(&events->endpoints[i], action, media_type))
            who |= UINT64_C(1) << i;
    return who;
}

bool rs_events_wanted(const struct rs_events *events, enum rs_event_action action, rs_str media_type)
{
    return events != NULL && who_wants(events, action, media_type) != 0;
}

bool rs_events_want_references(const struct rs_events *events)
{
    return events != NULL && events->config->include_references;
}

/* --- queueing --- */

/* A list of references that is longer than a record is left out, as with `includereferences` off. */
static void make_json(struct rs_buf *out, const struct rs_events *events, const struct rs_event *event)
{
    struct rs_event without = *event;

    event_json(out, event, events->source);
    if (!out->overflow)
        return;
    rs_buf_release(out);
    rs_buf_init(out, RECORD_MAX);
    without.reference_count = 0;
    event_json(out, &without, events->source);
}

static bool wait_for_room_locked(struct rs_events *events, size_t len, enum rs_event_action action, int64_t end)
{
    while (!events_has_room_locked(events, len, action)) {
        int64_t left = end - rs_mono_ms();
        if (action == RS_EVENT_PULL || left <= 0 || !rs_cond_wait_ms(&events->done, &events->lock, left))
            return events_has_room_locked(events, len, action);
    }
    return true;
}

static void wait_until_written_locked(struct rs_events *events, uint64_t number, int64_t end)
{
    while (events->written < number) {
        int64_t left = end - rs_mono_ms();
        if (left <= 0 || !rs_cond_wait_ms(&events->done, &events->lock, left))
            return; /* the disk hangs; the event is still in memory */
    }
}

/* How many were dropped so far, this one included; 0: it has its place. */
static uint64_t put(struct rs_events *events, uint64_t who, rs_str json, enum rs_event_action action)
{
    uint64_t dropped = 0;
    int64_t end = rs_mono_ms() + ROOM_MS;

    rs_mutex_lock(&events->lock);
    if (wait_for_room_locked(events, json.len, action, end)) {
        events_put_locked(events, who, json);
        if (action != RS_EVENT_PULL)
            wait_until_written_locked(events, events->put, end);
    } else {
        dropped = ++events->dropped;
    }
    rs_mutex_unlock(&events->lock);
    return dropped;
}

void rs_events_emit(struct rs_events *events, const struct rs_event *event)
{
    RS_AUTO(rs_buf_release) struct rs_buf json;

    rs_buf_init(&json, RECORD_MAX);
    uint64_t who = events != NULL ? who_wants(events, event->action, event->media_type) : 0;
    if (who == 0)
        return;
    make_json(&json, events, event);
    if (json.overflow)
        return; /* cannot be: a request's head is smaller */
    for (size_t i = 0; i < events->count; i++)
        if ((who >> i & 1) != 0)
            atomic_fetch_add_explicit(&events->endpoints[i].events, 1, memory_order_relaxed);
    uint64_t dropped = put(events, who, rs_buf_str(&json), event->action);
    if (dropped % COMPLAIN_EVERY == 1)
        rs_log(RS_LOG_ERROR, "notifications: the disk of the queues is too slow, %llu events are lost so far",
               (unsigned long long)dropped);
}

/* --- what others may look at --- */

bool rs_events_stats(struct rs_events *events, size_t index, struct rs_events_stats *out)
{
    if (events == NULL || index >= events->count)
        return false;
    struct endpoint *e = &events->endpoints[index];
    *out = (struct rs_events_stats){
        .name = e->name,
        .events = atomic_load(&e->events),
        .successes = atomic_load(&e->successes),
        .failures = atomic_load(&e->failures),
        .errors = atomic_load(&e->errors),
    };
    spool_stats(&e->spool, &out->pending, &out->dropped, &out->bytes);
    rs_mutex_lock(&events->lock);
    out->dropped += events->dropped;
    rs_mutex_unlock(&events->lock);
    return true;
}
