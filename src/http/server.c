/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LANES
 *
 * A lane is an epoll set with the batch of events that was last taken from it. One thread holds it: it waits, and it
 * serves what is short in place, since handing a request to another thread costs half as much as the request itself
 * (docs/ENGINE.md). Before a handler may block, the thread gives the lane to a spare thread and goes on as a worker;
 * its code reads straight down either way. A connection that waits, for a head, for its client to read on, for a
 * worker, is parked: it costs a descriptor and a few hundred bytes, no thread.
 *
 * lane->serving is odd while the holder serves an event, and then names that event. To have the lane is to have made
 * the number even again by compare-and-swap: the holder itself when it is done, rs_worker_block for the thread that
 * takes over, or the monitor when a handler has blocked without saying so. The loser finds the number changed, and is a
 * worker from then on. While serving, a thread touches nothing of the lane, only the connection that it owns.
 *
 * OWNERS
 *
 * conn->owner says who may touch a connection:
 *
 *   LANE           parked; the holder of its lane takes it when an event or a look is due     → THREAD
 *   THREAD         a thread serves it; the holder notes an event that comes meanwhile         → THREAD_MISSED
 *                  when it has to wait again, the thread parks it                             → LANE
 *                  while it waits for a thread, the list that holds it owns it like one: the ready list of the lane
 *                  (or its mailbox), the queue for a worker's place (places.c), the work without a thread (pool.c)
 *   THREAD_MISSED  instead of parking, the thread must look at the socket again               → THREAD
 *   NOBODY         closed; in the lane's mailbox. The memory is freed by the holder when the batch of events that was
 *                  taken before the closing is used up, so that no event can point to freed memory
 *
 * Every descriptor is registered once, edge-triggered, for reading and writing; parking needs no system call.
 */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "http/lane.h"

void rs_http_config_defaults(struct rs_http_config *config)
{
    *config = (struct rs_http_config){
        .max_connections = 20000,
        .max_workers = 256,
        .reserved_workers = 32,
        .max_body_workers_per_address = 64,
        .max_head = 64 * 1024,
        .head_ms = 10 * 1000,
        .idle_ms = 120 * 1000,
        .queue_ms = 30 * 1000,
        .min_rate = 1024,
        .rate_ms = 30 * 1000,
    };
}

rs_rc rs_http_server_new(const struct rs_http_config *config, struct rs_http_server **out, struct rs_err *err)
{
    if (config->max_workers == 0 || config->reserved_workers >= config->max_workers)
        return rs_err_set(err, RS_E_CONFIG, "the reserved workers (%u) must be fewer than all workers (%u)",
                          config->reserved_workers, config->max_workers);
    struct rs_proxies proxies;
    RS_TRY(rs_proxies_init(&proxies, config->trusted_proxies, config->trusted_proxy_count, err));
    struct rs_http_server *server = rs_calloc(1, sizeof *server);
    server->config = *config;
    server->proxies = proxies;
    server->router = rs_router_new(config->routes, config->route_count);
    server->lane_count = config->lanes > 0 ? RS_MIN(config->lanes, 64u) : RS_MIN(rs_cores(), 64u);
    /* Workers, as many that wait for the disk in the middle of a reply, and holders of lanes. */
    server->max_threads = 2 * (config->max_workers + server->lane_count + 1);
    server->address_slots = 2 * (size_t)config->max_workers;
    server->addresses = rs_calloc(server->address_slots, sizeof *server->addresses);
    server->orphan_end = &server->orphan_conns;
    server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int64_t shortest = RS_MIN(config->head_ms, config->idle_ms);
    if (config->min_rate > 0)
        shortest = RS_MIN(shortest, config->rate_ms);
    server->look_ms = RS_MAX(50, RS_MIN(shortest / 4, 5000));
    rs_mutex_init(&server->places, RS_LOCK_SERVER);
    rs_mutex_init(&server->pool, RS_LOCK_POOL);
    *out = server;
    return RS_OK;
}

const char *rs_http_address(const struct rs_http_server *server, size_t index)
{
    return index < server->listener_count ? server->listeners[index].address : NULL;
}

/* A connection that pulls or pushes has a file open as well, and full of idle ones the server must still open some. */
static void fit_connections(struct rs_http_server *server)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    uint64_t most = RS_MAX(files.rlim_cur - files.rlim_cur / 4, 1);
    if (server->config.max_connections <= most)
        return;
    rs_log(RS_LOG_WARN, "at most %llu connections, not %u: the limit of open files (ulimit -n) is %llu",
           (unsigned long long)most, server->config.max_connections, (unsigned long long)files.rlim_cur);
    server->config.max_connections = (unsigned)most;
}

rs_rc rs_http_start(struct rs_http_server *server, struct rs_err *err)
{
    fit_connections(server);
    server->lanes = rs_calloc(server->lane_count, sizeof *server->lanes);
    for (unsigned i = 0; i < server->lane_count; i++)
        RS_TRY(rs_lane_init(&server->lanes[i], server, err));
    return rs_pool_start(server, err);
}

static void wake_lanes(struct rs_http_server *server)
{
    for (unsigned i = 0; i < server->lane_count; i++)
        rs_lane_wake(&server->lanes[i]);
}

bool rs_lanes_deaf(const struct rs_http_server *server)
{
    for (unsigned i = 0; i < server->lane_count; i++)
        if (!atomic_load(&server->lanes[i].deaf))
            return false;
    return true;
}

static bool all_ended(const struct rs_http_server *server)
{
    for (unsigned i = 0; i < server->lane_count; i++)
        if (!atomic_load(&server->lanes[i].ended))
            return false;
    return true;
}

static void close_listeners(struct rs_http_server *server)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        struct rs_listener *listener = &server->listeners[i];
        if (listener->fd >= 0)
            close(listener->fd);
        listener->fd = -1;
        if (listener->unlink != NULL)
            unlink(listener->unlink);
        free(listener->unlink);
        listener->unlink = NULL;
    }
}

#define DRAIN_STEP_MS 5
#define ABORT_MS 2000 /* what remains after the connections were cut is a handler that waits for the disk */

void rs_http_drain(struct rs_http_server *server)
{
    int64_t start = rs_mono_ms(), cut = 0;
    bool listening = true;
    atomic_store(&server->draining, true);
    wake_lanes(server);
    while (!all_ended(server)) {
        int64_t now = rs_mono_ms();
        /* A lane's thread may still be about to accept: the sockets go when no lane listens any more. */
        if (listening && rs_lanes_deaf(server)) {
            close_listeners(server);
            listening = false;
        }
        if (server->config.drain_ms > 0 && now - start >= server->config.drain_ms)
            rs_http_abort(server);
        if (cut == 0 && atomic_load(&server->aborting)) {
            cut = now;
            wake_lanes(server);
        }
        if (cut != 0 && now - cut >= ABORT_MS)
            break;
        rs_sleep_ms(DRAIN_STEP_MS);
    }
    if (listening)
        close_listeners(server);
}

void rs_http_abort(struct rs_http_server *server)
{
    atomic_store(&server->aborting, true);
}

bool rs_http_server_free(struct rs_http_server **serverp)
{
    struct rs_http_server *server = rs_take(serverp);
    if (server == NULL)
        return true;
    rs_pool_stop(server);
    close_listeners(server);
    int64_t end = rs_mono_ms() + ABORT_MS;
    while (atomic_load(&server->threads) > 0 && rs_mono_ms() < end)
        rs_sleep_ms(1);
    if (atomic_load(&server->threads) > 0)
        return false;
    for (unsigned i = 0; i < server->lane_count && server->lanes != NULL; i++)
        rs_lane_release(&server->lanes[i]);
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    rs_router_free(&server->router);
    free(server->lanes);
    free(server->addresses);
    rs_proxies_release(&server->proxies);
    rs_mutex_release(&server->places);
    rs_mutex_release(&server->pool);
    free(server);
    return true;
}

/* A thread that neither waits as a spare one nor for a lane's events serves one connection. */
static unsigned serving(struct rs_http_server *server)
{
    rs_mutex_lock(&server->pool);
    unsigned idle = server->spare_count + server->orphan_count;
    rs_mutex_unlock(&server->pool);
    for (unsigned i = 0; i < server->lane_count; i++)
        idle += atomic_load(&server->lanes[i].serving) % 2 == 0;
    unsigned threads = atomic_load(&server->threads);
    return threads > idle ? threads - idle : 0;
}

void rs_http_stats(struct rs_http_server *server, struct rs_http_stats *out)
{
    rs_mutex_lock(&server->places);
    *out = (struct rs_http_stats){.workers = server->workers, .waiting = server->waiting_count};
    rs_mutex_unlock(&server->places);
    unsigned busy = serving(server);
    out->connections = atomic_load(&server->connections);
    out->parked = out->connections > busy ? out->connections - busy : 0; /* not of one instant */
    out->max_connections = server->config.max_connections;
    out->max_workers = server->config.max_workers;
    out->accepted = atomic_load(&server->accepted);
    out->threads = atomic_load(&server->threads);
    out->requests = atomic_load(&server->requests);
}
