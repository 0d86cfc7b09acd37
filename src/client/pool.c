/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handle belongs to one thread from take to give. Idle ones lie in a small table, the longest idle first; what is too
 * many is closed. Closing, which may send a farewell, happens outside of the lock.
 */
#include "client/pool.h"

#include "base/lock.h"
#include "base/mem.h"

#define IDLE_MAX 16
#define CONNECTIONS_MAX 2L /* of a handle: after a redirect there are two */

struct idle {
    CURL *easy;
    char *origin;
};

static struct {
    struct rs_mutex lock;
    struct idle idle[IDLE_MAX];
    size_t count;
} pool;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void ready(void)
{
    RS_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    rs_mutex_init(&pool.lock, RS_LOCK_CLIENT);
}

void client_pool_ready(void)
{
    RS_ASSERT(pthread_once(&once, ready) == 0);
}

static struct idle remove_locked(size_t i)
{
    struct idle taken = pool.idle[i];

    memmove(&pool.idle[i], &pool.idle[i + 1], (pool.count - i - 1) * sizeof *pool.idle);
    pool.count--;
    return taken;
}

/* The latest used first: its connection is the least likely to be closed by now. */
static struct idle find_locked(const char *origin)
{
    for (size_t i = pool.count; i-- > 0;)
        if (strcmp(pool.idle[i].origin, origin) == 0)
            return remove_locked(i);
    return (struct idle){0};
}

CURL *client_pool_take(const char *origin)
{
    rs_mutex_lock(&pool.lock);
    struct idle found = find_locked(origin);
    rs_mutex_unlock(&pool.lock);
    free(found.origin);
    CURL *easy = found.easy != NULL ? found.easy : curl_easy_init();
    if (easy != NULL)
        curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, CONNECTIONS_MAX);
    return easy;
}

void client_pool_give(CURL *easy, const char *origin)
{
    struct idle old = {0};
    struct idle mine = {easy, rs_strdup(origin)};

    curl_easy_reset(easy); /* keeps the connections, forgets borrowed memory */
    rs_mutex_lock(&pool.lock);
    if (pool.count == IDLE_MAX)
        old = remove_locked(0);
    pool.idle[pool.count++] = mine;
    rs_mutex_unlock(&pool.lock);
    if (old.easy != NULL)
        curl_easy_cleanup(old.easy);
    free(old.origin);
}
