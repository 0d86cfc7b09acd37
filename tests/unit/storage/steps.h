/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All orders in which the storage calls of a few actors may happen, up to a number of preemptions. Each actor is a
 * thread, but only one goes at a time: before each call of a stepped storage the schedule decides who is next. A run
 * goes on with who went last, unless its schedule says otherwise; from what was possible in a run the next schedules
 * follow, until all with that many preemptions have been seen (who goes first, and who goes on after an end, is free).
 * Calls on running uploads and syncs are no steps: nobody else can tell when they happen. An actor that sleeps
 * (rs_sleep_ms) lets others go first. The clocks stand still but for that: a sleep takes a third of a second. Explore
 * from one thread.
 *
 * A test that uses this is linked with steps_wrap (registry/meson.build): the clocks, and rs_mutex_lock, where who
 * finds a lock taken lets its holder go on.
 */
#pragma once

#include "storage/storage.h"

#define STEPS_ACTORS 3

struct steps_case {
    size_t actors;
    void (*prepare)(void *ctx);           /* makes everything anew */
    void (*act)(void *ctx, size_t actor); /* what an actor does, in its thread */
    /* When all have ended: what is wrong, into complaint; and takes everything down. */
    void (*judge)(void *ctx, char *complaint, size_t size);
    void *ctx;
};

struct steps_found {
    uint64_t schedules;
    uint64_t steps;    /* in all of them */
    uint64_t faults;   /* schedules with a complaint */
    uint64_t stuck;    /* those in which all slept for good */
    uint64_t diverged; /* those that did not go as they had before: nothing is known of these */
    char first[2048];  /* the first complaint and its schedule */
};

/* All schedules with up to so many preemptions; ends at the first fault. */
void steps_explore(const struct steps_case *what, unsigned preemptions, struct steps_found *out);
/* Which actor this thread is; STEPS_ACTORS: none. */
size_t steps_self(void);
/* While it is set, what the calling actor does is one step. */
void steps_at_once(bool at_once);

/* Owns inner from now on. */
void steps_storage_new(struct rs_storage *inner, struct rs_storage **out);
/* All objects that are there now seem that much older, until they are written or touched. */
void steps_storage_age(struct rs_storage *storage, int64_t seconds);

enum steps_call { STEPS_LOOK, STEPS_TOUCH, STEPS_CHANGE };
enum steps_lie {
    STEPS_TRUE,
    STEPS_ABSENT,  /* there is no such object */
    STEPS_IGNORED, /* done, it says, and is not */
    STEPS_OLD,     /* a look: as if it had not been written since all was made older */
};
/* Breaks the storage for some, to see that it is noticed. NULL: it does not lie. */
void steps_storage_lie(struct rs_storage *storage,
                       enum steps_lie (*lie)(void *ctx, enum steps_call call, const char *path), void *ctx);
