/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notifications: registry:2's events, sent to webhooks in registry:2's envelope, from a queue on disk that survives
 * restarts. What is kept in which order, and what may be lost when, is argued in the head of events.c. Any thread.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "config/config.h"

enum rs_event_action { RS_EVENT_PUSH, RS_EVENT_PULL, RS_EVENT_MOUNT, RS_EVENT_DELETE, RS_EVENT_ACTIONS };

/* What a manifest refers to. */
struct rs_event_reference {
    rs_str media_type;
    rs_str digest;
    uint64_t size;
    const rs_str *urls;
    size_t url_count;
    rs_str annotations; /* a JSON object; empty if there are none */
};

/* Everything is borrowed for the call. Empty fields are left out, as registry:2 does it. */
struct rs_event {
    enum rs_event_action action;
    rs_str media_type;
    uint64_t size;
    rs_str digest;
    rs_str repository;
    rs_str from_repository; /* of a mount */
    rs_str url;
    rs_str tag;
    const struct rs_event_reference *references;
    size_t reference_count;

    rs_str request_id;
    rs_str request_addr; /* the client's */
    rs_str request_host;
    rs_str request_method;
    rs_str request_useragent;
    rs_str actor; /* the user's name */
};

struct rs_events;

/* Opens the queues below <state_dir>/notifications and starts to deliver. Borrows config. With no endpoint configured
 * *out is NULL, which every other function takes. RS_E_CONFIG if a queue cannot be opened. */
rs_rc rs_events_new(const struct rs_config *config, const char *state_dir, struct rs_events **out, struct rs_err *err);
/* Takes no more events, gives the endpoints that answer up to grace_ms to receive what waits, keeps the rest on disk.
 * Nobody may emit any more. */
void rs_events_free(struct rs_events **events, int64_t grace_ms);

/* Would anybody receive it? Cheap: before the rest of the event is put together. */
bool rs_events_wanted(const struct rs_events *events, enum rs_event_action action, rs_str media_type);
bool rs_events_want_references(const struct rs_events *events);
/* Queues it. Of a pull: without waiting for anything, so a lane may call it. Of any other action: returns when it would
 * survive the end of this process; for workers. It never fails: what cannot be queued is dropped, counted, and logged.
 */
void rs_events_emit(struct rs_events *events, const struct rs_event *event);

struct rs_events_stats {
    const char *name;
    uint64_t events;    /* that came for this endpoint */
    uint64_t pending;   /* that wait in its queue */
    uint64_t successes; /* that were delivered */
    uint64_t failures;  /* that were answered with a status from 400 */
    uint64_t errors;    /* that got no answer */
    uint64_t dropped;   /* that were lost: the queue was full, or the disk failed */
    uint64_t bytes;     /* of its queue on disk */
};
/* index from 0; false behind the last endpoint. */
bool rs_events_stats(struct rs_events *events, size_t index, struct rs_events_stats *out);
