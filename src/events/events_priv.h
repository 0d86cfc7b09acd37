/* SPDX-License-Identifier: Apache-2.0 */
/* Private to events: what its files share. The argument about threads stands in the head of events.c. */
#pragma once

#include <stdatomic.h>

#include "base/thread.h"
#include "client/client.h"
#include "events/events.h"
#include "events/spool.h"
#include "metrics/metrics.h"

struct endpoint {
    const struct rs_config_endpoint *config;
    char *name;               /* for the log and the metrics: never empty */
    enum rs_value label;      /* of its metrics */
    unsigned ignored_actions; /* bits */
    char *where;              /* scheme, host and port of its address, for the log */
    struct rs_client_header *headers;
    size_t header_count;
    size_t batch;
    struct spool spool;
    bool is_open;
    struct rs_buf writing; /* the writer's */
    pthread_t thread;
    bool is_running;
    struct rs_events *all;

    _Atomic uint64_t events;
    _Atomic uint64_t successes;
    _Atomic uint64_t failures;
    _Atomic uint64_t errors;
};

struct rs_events {
    const struct rs_config_notifications *config;
    struct endpoint *endpoints;
    size_t count;
    unsigned wanted;         /* bits: actions that some endpoint does not ignore */
    char *source;            /* the JSON of the event's source */
    _Atomic bool cancel;     /* break off what is being sent */
    _Atomic int64_t stop_at; /* of the clock rs_mono_ms; 0: not yet */

    struct rs_mutex lock; /* of what follows */
    pthread_cond_t work;
    pthread_cond_t done;
    struct rs_buf queue; /* entries, see events.c */
    uint64_t put;        /* entries so far */
    uint64_t written;    /* of them, on disk or dropped */
    uint64_t dropped;    /* that found no place in the queue */
    size_t delivering;   /* threads of endpoints */
    bool stopping;
    pthread_t writer;
    bool is_writing;
};

/* --- envelope.c --- */
const char *event_action_name(enum rs_event_action action);
/* The event as JSON. source: as event_source makes it. */
void event_json(struct rs_buf *out, const struct rs_event *event, const char *source);
/* The host's name with the port of that address, and an id of this process. The caller frees it. */
char *event_source(const char *listen_address);

/* --- writer.c --- */
#define EVENTS_QUEUE_MAX (16 * 1024 * 1024) /* bytes of memory */
void *events_write(void *events);
bool events_has_room_locked(const struct rs_events *events, size_t len, enum rs_event_action action);
void events_put_locked(struct rs_events *events, uint64_t endpoints, rs_str json);

/* --- endpoint.c --- */
/* Opens its queue below `directory`. It is released also after an error. */
rs_rc endpoint_init(struct endpoint *e, const struct rs_config_notifications *config, size_t index,
                    const char *directory, struct rs_err *err);
void endpoint_release(struct endpoint *e);

/* --- deliver.c --- */
void *events_deliver(void *endpoint);
/* How long to wait after so many failures in a row. */
int64_t events_pause_ms(const struct rs_config_endpoint *config, uint64_t failures);
