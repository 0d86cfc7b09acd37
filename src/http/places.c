/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places for workers: how many requests may be served by blocking threads at the same time, how many of them may
 * receive a body, in all and from one address. A request that finds no place waits in a queue, without a thread.
 */
#include "base/clock.h"
#include "http/lane.h"

#define SEARCH_MAX 2048

/* Whatever the route wants: a body that is announced can trickle, unless it is announced as empty. */
static bool is_body(const struct rs_conn *conn)
{
    const struct rs_request *req = &conn->ex->req;
    return req->has_body && req->content_length != 0;
}

/* The address's slot; a free one if it has none. There are twice as many slots as workers. */
static struct rs_address_count *slot_locked(struct rs_http_server *server, const uint8_t *address)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < 16; i++)
        hash = (hash ^ address[i]) * 1099511628211u;
    size_t at = hash % server->address_slots;
    while (server->addresses[at].count > 0 && memcmp(server->addresses[at].address, address, 16) != 0)
        at = (at + 1) % server->address_slots;
    return &server->addresses[at];
}

static bool has_place_locked(struct rs_http_server *server, const struct rs_conn *conn)
{
    const struct rs_http_config *config = &server->config;
    if (server->workers >= config->max_workers)
        return false;
    if (!is_body(conn))
        return true;
    return server->body_workers < config->max_workers - config->reserved_workers &&
           slot_locked(server, conn->ex->client.bytes)->count < config->max_body_workers_per_address;
}

static void take_place_locked(struct rs_http_server *server, struct rs_conn *conn)
{
    server->workers++;
    conn->ex->counted = true;
    if (!is_body(conn))
        return;
    server->body_workers++;
    struct rs_address_count *slot = slot_locked(server, conn->ex->client.bytes);
    memcpy(slot->address, conn->ex->client.bytes, 16);
    slot->count++;
}

/* Removing from a table with open addressing: those behind the freed slot that hash before it are put in again. */
static void forget_address_locked(struct rs_http_server *server, struct rs_address_count *slot)
{
    if (--slot->count > 0)
        return;
    size_t at = (size_t)(slot - server->addresses);
    for (at = (at + 1) % server->address_slots; server->addresses[at].count > 0;
         at = (at + 1) % server->address_slots) {
        struct rs_address_count moved = server->addresses[at];
        server->addresses[at].count = 0;
        *slot_locked(server, moved.address) = moved;
    }
}

static void free_place_locked(struct rs_http_server *server, struct rs_conn *conn)
{
    server->workers--;
    conn->ex->counted = false;
    if (!is_body(conn))
        return;
    server->body_workers--;
    forget_address_locked(server, slot_locked(server, conn->ex->client.bytes));
}

static void enqueue_locked(struct rs_http_server *server, struct rs_conn *conn)
{
    conn->link = NULL;
    conn->phase = RS_PHASE_QUEUED;
    conn->queued_ms = rs_mono_ms();
    if (server->waiting_last != NULL)
        server->waiting_last->link = conn;
    else
        server->waiting = conn;
    server->waiting_last = conn;
    server->waiting_count++;
}

static void unqueue_locked(struct rs_http_server *server, struct rs_conn *before, struct rs_conn *conn)
{
    if (before != NULL)
        before->link = conn->link;
    else
        server->waiting = conn->link;
    if (server->waiting_last == conn)
        server->waiting_last = before;
    server->waiting_count--;
    conn->link = NULL;
    conn->phase = RS_PHASE_RUN;
}

/* The first that may go: one address at its limit does not hold up those behind it, however many it has waiting. The
 * search is bounded. */
static struct rs_conn *next_locked(struct rs_http_server *server)
{
    struct rs_conn *before = NULL, *conn = server->waiting;
    const uint8_t *refused = NULL;
    for (int i = 0; conn != NULL && i < SEARCH_MAX; i++, before = conn, conn = conn->link) {
        bool body = is_body(conn);
        if (body && refused != NULL && memcmp(refused, conn->ex->client.bytes, 16) == 0)
            continue;
        if (body)
            refused = conn->ex->client.bytes;
        if (has_place_locked(server, conn)) {
            unqueue_locked(server, before, conn);
            take_place_locked(server, conn);
            return conn;
        }
    }
    return NULL;
}

bool rs_places_enter(struct rs_conn *conn)
{
    struct rs_http_server *server = conn->server;
    rs_conn_save(conn); /* before another thread can have it; a worker reads on from there */
    rs_mutex_lock(&server->places);
    bool entered = has_place_locked(server, conn);
    if (entered)
        take_place_locked(server, conn);
    else
        enqueue_locked(server, conn);
    rs_mutex_unlock(&server->places);
    return entered;
}

void rs_places_leave(struct rs_conn *conn)
{
    struct rs_http_server *server = conn->server;
    rs_mutex_lock(&server->places);
    free_place_locked(server, conn);
    struct rs_conn *next = next_locked(server);
    rs_mutex_unlock(&server->places);
    if (next != NULL)
        rs_pool_give_conn(server, next);
}

void rs_places_expire(struct rs_http_server *server, int64_t now_ms)
{
    struct rs_conn *over = NULL;
    do {
        rs_mutex_lock(&server->places);
        over = server->waiting; /* the one that has waited longest */
        if (over != NULL && now_ms - over->queued_ms >= server->config.queue_ms) {
            unqueue_locked(server, NULL, over);
            over->ex->queue_over = true;
        } else {
            over = NULL;
        }
        rs_mutex_unlock(&server->places);
        if (over != NULL)
            rs_pool_give_conn(server, over);
    } while (over != NULL);
}
