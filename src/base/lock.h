/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutexes with a rank (src/tbl/locks.def): a thread takes them from top to bottom of the table only, which debug
 * builds assert. Critical sections are short, without I/O and foreign callbacks.
 */
#pragma once

#include <pthread.h>

#include "base/cc.h"

enum rs_lock_rank {
#define RS_LOCK(name, what) RS_LOCK_##name,
#include "tbl/locks.def"
#undef RS_LOCK
    RS_LOCK_RANKS
};

struct rs_mutex {
    pthread_mutex_t mutex;
    enum rs_lock_rank rank;
};

void rs_mutex_init(struct rs_mutex *m, enum rs_lock_rank rank);
void rs_mutex_release(struct rs_mutex *m);
void rs_mutex_lock(struct rs_mutex *m);
void rs_mutex_unlock(struct rs_mutex *m);
/* pthread_cond_wait, the rank kept. Condition variables use CLOCK_MONOTONIC: rs_cond_init. */
void rs_cond_init(pthread_cond_t *cond);
void rs_cond_wait(pthread_cond_t *cond, struct rs_mutex *m);
bool rs_cond_wait_ms(pthread_cond_t *cond, struct rs_mutex *m, int64_t ms); /* false: the time is over */
