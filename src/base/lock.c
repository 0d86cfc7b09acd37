/* SPDX-License-Identifier: Apache-2.0 */
#include "base/lock.h"

#include <errno.h>

#ifdef RS_DEBUG_CHECKS

/* The ranks that this thread holds, in the order in which it took them. */
static _Thread_local enum rs_lock_rank held[RS_LOCK_RANKS];
static _Thread_local size_t held_count;

static void note_lock(const struct rs_mutex *m)
{
    /* Equal ranks are refused as well: nothing would order the two. */
    RS_ASSERT(held_count == 0 || held[held_count - 1] < m->rank);
    held[held_count++] = m->rank;
}

static void note_unlock(const struct rs_mutex *m)
{
    size_t i = held_count;
    while (i > 0 && held[i - 1] != m->rank)
        i--;
    RS_ASSERT(i > 0);
    for (held_count--; i <= held_count; i++)
        held[i - 1] = held[i];
}

/* While one waits, only the mutex of the condition may be held: it alone is let go. */
static void note_wait(const struct rs_mutex *m)
{
    RS_ASSERT(held_count == 1 && held[0] == m->rank);
}

#else

static void note_lock(const struct rs_mutex *m)
{
    (void)m;
}

static void note_unlock(const struct rs_mutex *m)
{
    (void)m;
}

static void note_wait(const struct rs_mutex *m)
{
    (void)m;
}

#endif

void rs_mutex_init(struct rs_mutex *m, enum rs_lock_rank rank)
{
    RS_ASSERT(rank < RS_LOCK_RANKS);
    m->rank = rank;
    RS_ASSERT(pthread_mutex_init(&m->mutex, NULL) == 0);
}

void rs_mutex_release(struct rs_mutex *m)
{
    RS_ASSERT(pthread_mutex_destroy(&m->mutex) == 0);
}

void rs_mutex_lock(struct rs_mutex *m)
{
    note_lock(m);
    RS_ASSERT(pthread_mutex_lock(&m->mutex) == 0);
}

void rs_mutex_unlock(struct rs_mutex *m)
{
    note_unlock(m);
    RS_ASSERT(pthread_mutex_unlock(&m->mutex) == 0);
}

void rs_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    RS_ASSERT(pthread_condattr_init(&attr) == 0);
    RS_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    RS_ASSERT(pthread_cond_init(cond, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

void rs_cond_wait(pthread_cond_t *cond, struct rs_mutex *m)
{
    note_wait(m);
    RS_ASSERT(pthread_cond_wait(cond, &m->mutex) == 0);
}

bool rs_cond_wait_ms(pthread_cond_t *cond, struct rs_mutex *m, int64_t ms)
{
    note_wait(m);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ms = RS_MAX(ms, 0);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int rc = pthread_cond_timedwait(cond, &m->mutex, &until);
    RS_ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}
