/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/hash_thread.h"

#include <stdatomic.h>

#include "base/lock.h"
#include "base/mem.h"
#include "base/thread.h"

/* Two would do if both sides took equally long each time; they do not. */
#define PIECES 4
#define CORES_EACH 2 /* one hashes, one receives */

/* Piece n lies in place n % PIECES. hashed <= given <= hashed + PIECES. */
struct rs_hash_thread {
    struct rs_hash *hash;
    struct rs_mutex mutex;
    pthread_cond_t changed;
    uint64_t given;
    uint64_t hashed;
    bool ending;
    size_t lengths[PIECES];
    char *pieces; /* PIECES * RS_HASH_PIECE bytes */
};

static atomic_uint cores_taken;

/* The pieces of one that has ended are kept for the next: an upload in chunks begins one for each, and fresh memory
 * costs a page fault every 4 KiB. */
static _Atomic(char *) spare_pieces;

static char *take_pieces(void)
{
    char *pieces = atomic_exchange(&spare_pieces, NULL);
    return pieces != NULL ? pieces : rs_malloc((size_t)PIECES * RS_HASH_PIECE);
}

static char *place(struct rs_hash_thread *t, uint64_t n)
{
    return t->pieces + n % PIECES * RS_HASH_PIECE;
}

static void thread_free(struct rs_hash_thread *t)
{
    pthread_cond_destroy(&t->changed);
    rs_mutex_release(&t->mutex);
    free(atomic_exchange(&spare_pieces, t->pieces));
    free(t);
    atomic_fetch_sub(&cores_taken, CORES_EACH);
}

/* Frees t at its end: whoever stops it does not wait for a thread to be gone, which can take longer than the hash. */
static void *hash_pieces(void *arg)
{
    struct rs_hash_thread *t = arg;
    rs_mutex_lock(&t->mutex);
    while (t->hashed < t->given || !t->ending) {
        if (t->hashed == t->given) {
            rs_cond_wait(&t->changed, &t->mutex);
            continue;
        }
        uint64_t n = t->hashed;
        size_t len = t->lengths[n % PIECES];
        rs_mutex_unlock(&t->mutex);
        rs_hash_update(t->hash, place(t, n), len);
        rs_mutex_lock(&t->mutex);
        t->hashed++;
        pthread_cond_broadcast(&t->changed);
    }
    rs_mutex_unlock(&t->mutex);
    thread_free(t);
    return NULL;
}

struct rs_hash_thread *rs_hash_thread_start(struct rs_hash *hash)
{
    if (atomic_fetch_add(&cores_taken, CORES_EACH) + CORES_EACH > rs_cores()) {
        atomic_fetch_sub(&cores_taken, CORES_EACH);
        return NULL;
    }
    struct rs_hash_thread *t = rs_calloc(1, sizeof *t);
    t->hash = hash;
    t->pieces = take_pieces();
    rs_mutex_init(&t->mutex, RS_LOCK_HASH);
    rs_cond_init(&t->changed);
    if (rs_thread_start(NULL, hash_pieces, t) != 0) {
        thread_free(t);
        return NULL;
    }
    return t;
}

static void wait_until(struct rs_hash_thread *t, uint64_t most_left)
{
    rs_mutex_lock(&t->mutex);
    while (t->given - t->hashed > most_left)
        rs_cond_wait(&t->changed, &t->mutex);
    rs_mutex_unlock(&t->mutex);
}

void *rs_hash_thread_buffer(struct rs_hash_thread *t)
{
    wait_until(t, PIECES - 1);
    return place(t, t->given);
}

void rs_hash_thread_give(struct rs_hash_thread *t, size_t len)
{
    RS_ASSERT(len <= RS_HASH_PIECE);
    rs_mutex_lock(&t->mutex);
    t->lengths[t->given % PIECES] = len;
    t->given++;
    pthread_cond_broadcast(&t->changed);
    rs_mutex_unlock(&t->mutex);
}

void rs_hash_thread_wait(struct rs_hash_thread *t)
{
    wait_until(t, 0);
}

void rs_hash_thread_stop(struct rs_hash_thread **tp)
{
    struct rs_hash_thread *t = rs_take(tp);
    if (t == NULL)
        return;
    rs_hash_thread_wait(t);
    rs_mutex_lock(&t->mutex);
    t->ending = true;
    pthread_cond_broadcast(&t->changed);
    rs_mutex_unlock(&t->mutex);
}
