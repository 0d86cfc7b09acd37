/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: spare ones wait for a lane or a connection; more are started when none is spare. See "LANES" in server.c. */
#include <errno.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "http/lane.h"

#define SPARE_MS 10000 /* a spare thread beyond the first few ends after this time */
#define MONITOR_TICK_MS 2
#define MONITOR_IDLE_MS 50 /* the tick when nothing has been served for a while */
#define MONITOR_IDLE_TICKS 250

static struct rs_worker *worker_new(struct rs_http_server *server)
{
    struct rs_worker *worker = rs_calloc(1, sizeof *worker);
    worker->server = server;
    rs_cond_init(&worker->cond);
    worker->head_buffer = rs_malloc(RS_HEAD_BUFFER);
    return worker;
}

static void worker_free(struct rs_worker *worker)
{
    rs_arena_free(&worker->arena);
    free(worker->head_buffer);
    free(worker->io_buffer);
    pthread_cond_destroy(&worker->cond);
    free(worker);
}

/* Takes work that no thread could be started for. */
static bool take_orphan_locked(struct rs_worker *worker)
{
    struct rs_http_server *server = worker->server;
    if (server->orphan_count > 0) {
        worker->job_lane = server->orphan_lanes[--server->orphan_count];
        return true;
    }
    if (server->orphan_conns != NULL) {
        worker->job_conn = server->orphan_conns;
        server->orphan_conns = worker->job_conn->link;
        if (server->orphan_conns == NULL)
            server->orphan_end = &server->orphan_conns;
        return true;
    }
    return false;
}

static void leave_spare_locked(struct rs_worker *worker)
{
    struct rs_http_server *server = worker->server;
    for (struct rs_worker **at = &server->spare; *at != NULL; at = &(*at)->next) {
        if (*at == worker) {
            *at = worker->next;
            server->spare_count--;
            return;
        }
    }
}

/* Waits as a spare thread until there is work. False: the thread shall end. */
static bool wait_for_work(struct rs_worker *worker)
{
    struct rs_http_server *server = worker->server;
    rs_mutex_lock(&server->pool);
    bool work = take_orphan_locked(worker);
    if (!work && !atomic_load(&server->stopping)) {
        worker->woken = false;
        worker->next = server->spare;
        server->spare = worker;
        server->spare_count++;
        bool keep = true;
        while (!worker->woken && keep && !atomic_load(&server->stopping)) {
            bool timely = rs_cond_wait_ms(&worker->cond, &server->pool, SPARE_MS);
            keep = timely || server->spare_count <= server->lane_count + 1;
        }
        work = worker->woken;
        if (!work)
            leave_spare_locked(worker);
    }
    rs_mutex_unlock(&server->pool);
    return work;
}

static void work(struct rs_worker *worker)
{
    struct rs_lane *lane = worker->job_lane;
    struct rs_conn *conn = worker->job_conn;
    worker->job_lane = NULL;
    worker->job_conn = NULL;
    if (lane != NULL)
        rs_lane_run(worker, lane);
    if (conn != NULL && rs_conn_run(worker, conn))
        rs_lane_resume(conn);
}

static void *thread_main(void *arg)
{
    struct rs_worker *worker = arg;
    struct rs_http_server *server = worker->server;
    prctl(PR_SET_NAME, "worker");
    do
        work(worker);
    while (wait_for_work(worker));
    worker_free(worker);
    atomic_fetch_sub(&server->threads, 1);
    return NULL;
}

static int start_thread(struct rs_worker *worker)
{
    bool may = atomic_fetch_add(&worker->server->threads, 1) < worker->server->max_threads;
    int rc = may ? rs_thread_start(NULL, thread_main, worker) : EAGAIN;
    if (rc != 0)
        atomic_fetch_sub(&worker->server->threads, 1);
    return rc;
}

/* The last thread that became spare is the first to be used: its caches are warm, and the others can end. */
static bool give_spare_locked(struct rs_http_server *server, struct rs_lane *lane, struct rs_conn *conn)
{
    struct rs_worker *worker = server->spare;
    if (worker == NULL)
        return false;
    server->spare = worker->next;
    server->spare_count--;
    worker->job_lane = lane;
    worker->job_conn = conn;
    worker->woken = true;
    pthread_cond_signal(&worker->cond);
    return true;
}

static void add_orphan_conn_locked(struct rs_http_server *server, struct rs_conn *conn)
{
    conn->link = NULL;
    *server->orphan_end = conn;
    server->orphan_end = &conn->link;
}

/* No thread could be started: the work waits for one that becomes spare, or for the monitor to try again. */
static void keep_orphan(struct rs_http_server *server, struct rs_lane *lane, struct rs_conn *conn)
{
    rs_mutex_lock(&server->pool);
    if (give_spare_locked(server, lane, conn)) {
        rs_mutex_unlock(&server->pool);
        return;
    }
    if (lane != NULL) {
        RS_ASSERT(server->orphan_count < RS_COUNT(server->orphan_lanes));
        server->orphan_lanes[server->orphan_count++] = lane;
    } else {
        add_orphan_conn_locked(server, conn);
    }
    rs_mutex_unlock(&server->pool);
}

/* To a spare thread, or to a new one. False: there is none. */
static bool give_thread(struct rs_http_server *server, struct rs_lane *lane, struct rs_conn *conn)
{
    rs_mutex_lock(&server->pool);
    bool given = give_spare_locked(server, lane, conn);
    rs_mutex_unlock(&server->pool);
    if (given)
        return true;
    struct rs_worker *worker = worker_new(server);
    worker->job_lane = lane;
    worker->job_conn = conn;
    if (start_thread(worker) == 0)
        return true;
    worker_free(worker);
    return false;
}

static void give(struct rs_http_server *server, struct rs_lane *lane, struct rs_conn *conn)
{
    if (!give_thread(server, lane, conn))
        keep_orphan(server, lane, conn);
}

static void retry_orphan(struct rs_http_server *server)
{
    struct rs_worker taker = {.server = server};
    rs_mutex_lock(&server->pool);
    bool any = take_orphan_locked(&taker);
    rs_mutex_unlock(&server->pool);
    if (any)
        give(server, taker.job_lane, taker.job_conn);
}

void rs_pool_give_lane(struct rs_http_server *server, struct rs_lane *lane)
{
    give(server, lane, NULL);
}

void rs_pool_give_conn(struct rs_http_server *server, struct rs_conn *conn)
{
    give(server, NULL, conn);
}

void rs_pool_defer_conn(struct rs_http_server *server, struct rs_conn *conn)
{
    keep_orphan(server, NULL, conn);
}

void rs_serving_begin(struct rs_worker *worker)
{
    worker->serving = atomic_load_explicit(&worker->lane->serving, memory_order_relaxed) + 1;
    atomic_store_explicit(&worker->lane->serving, worker->serving, memory_order_release);
}

/* Makes the field even again: whoever succeeds has the lane. */
static bool claim(struct rs_lane *lane, uint64_t serving)
{
    return atomic_compare_exchange_strong(&lane->serving, &serving, serving + 1);
}

bool rs_serving_end(struct rs_worker *worker)
{
    if (worker->lane != NULL && claim(worker->lane, worker->serving))
        return true;
    worker->lane = NULL; /* given away by rs_worker_block, or taken by the monitor */
    return false;
}

bool rs_worker_block(struct rs_worker *worker)
{
    struct rs_lane *lane = worker->lane;
    if (lane == NULL)
        return true;
    worker->lane = NULL;
    if (!claim(lane, worker->serving))
        return true; /* the monitor was first */
    if (give_thread(worker->server, lane, NULL))
        return true;
    worker->lane = lane;
    rs_serving_begin(worker);
    return false;
}

static bool has_thread(struct rs_http_server *server)
{
    rs_mutex_lock(&server->pool);
    bool spare = server->spare != NULL;
    rs_mutex_unlock(&server->pool);
    return spare || atomic_load(&server->threads) < server->max_threads;
}

/* The safety net for a handler that blocks without saying so: a lane whose thread has been serving the same event for
 * two ticks goes to another thread. Returns whether anything is being served. */
static bool watch_lane(struct rs_lane *lane)
{
    uint64_t serving = atomic_load(&lane->serving);
    bool same = serving == lane->monitor_seen;
    lane->monitor_seen = serving;
    if (serving % 2 == 0) {
        lane->monitor_ticks = 0;
        return !same;
    }
    lane->monitor_ticks = same ? lane->monitor_ticks + 1 : 0;
    if (lane->monitor_ticks >= 2 && has_thread(lane->server) && claim(lane, serving)) {
        lane->monitor_ticks = 0;
        rs_pool_give_lane(lane->server, lane);
    }
    return true;
}

static void *monitor_main(void *arg)
{
    struct rs_http_server *server = arg;
    unsigned quiet = 0;
    prctl(PR_SET_NAME, "monitor");
    while (!atomic_load(&server->stopping)) {
        int64_t ms = quiet > MONITOR_IDLE_TICKS ? MONITOR_IDLE_MS : MONITOR_TICK_MS;
        rs_sleep_ms(ms);
        quiet++;
        for (unsigned i = 0; i < server->lane_count; i++)
            if (watch_lane(&server->lanes[i]))
                quiet = 0;
        rs_places_expire(server, rs_mono_ms());
        retry_orphan(server);
    }
    return NULL;
}

rs_rc rs_pool_start(struct rs_http_server *server, struct rs_err *err)
{
    for (unsigned i = 0; i < server->lane_count; i++)
        rs_pool_give_lane(server, &server->lanes[i]);
    if (server->orphan_count > 0)
        return rs_err_set(err, RS_E_IO, "cannot start threads: is the limit of processes (ulimit -u, pids.max) low?");
    int rc = rs_thread_start(&server->monitor, monitor_main, server);
    if (rc != 0)
        return rs_err_sys(err, rc, "cannot start the monitor thread");
    server->monitor_runs = true;
    return RS_OK;
}

void rs_pool_stop(struct rs_http_server *server)
{
    atomic_store(&server->stopping, true);
    rs_mutex_lock(&server->pool);
    for (struct rs_worker *worker = server->spare; worker != NULL; worker = worker->next)
        pthread_cond_signal(&worker->cond);
    rs_mutex_unlock(&server->pool);
    if (server->monitor_runs)
        pthread_join(server->monitor, NULL);
    server->monitor_runs = false;
}
