/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets, and accepting from them. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "http/lane.h"

#define BACKLOG 4096
#define ACCEPT_SHARE 4 /* connections taken at a time: the other lanes want theirs */

/* The address that a socket is bound to, as people write it. */
static void name_listener(struct rs_listener *listener)
{
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof bound;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getsockname(listener->fd, (struct sockaddr *)&bound, &len) == 0 && bound.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)&bound;
        snprintf(listener->address, sizeof listener->address, "unix:%.120s", un->sun_path);
    } else if (getnameinfo((struct sockaddr *)&bound, len, host, sizeof host, port, sizeof port,
                           NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        snprintf(listener->address, sizeof listener->address,
                 bound.ss_family == AF_INET6 ? "[%.100s]:%.8s" : "%.100s:%.8s", host, port);
    }
}

/* unlink_path: of a unix socket, to be removed at the end; or NULL. */
static rs_rc add_listener(struct rs_http_server *server, int fd, const char *unlink_path, struct rs_err *err)
{
    if (server->listener_count == RS_LISTENERS_MAX)
        return rs_err_set(err, RS_E_CONFIG, "more than %d addresses to listen on", RS_LISTENERS_MAX);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return rs_err_sys(err, errno, "cannot use the socket");
    if (listen(fd, BACKLOG) != 0)
        return rs_err_sys(err, errno, "cannot listen");
    struct rs_listener *listener = &server->listeners[server->listener_count++];
    *listener = (struct rs_listener){.kind = RS_POLL_LISTENER, .fd = fd};
    listener->unlink = unlink_path != NULL ? rs_strdup(unlink_path) : NULL;
    name_listener(listener);
    return RS_OK;
}

rs_rc rs_http_listen_fd(struct rs_http_server *server, int fd, struct rs_err *err)
{
    return add_listener(server, fd, NULL, err);
}

/* A socket file that nobody answers on was left behind by a process that was killed. */
static bool is_stale(const struct sockaddr_un *un)
{
    struct stat st;
    RS_AUTO(rs_fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    return connect(fd, (const struct sockaddr *)un, sizeof *un) != 0 && errno == ECONNREFUSED;
}

static rs_rc listen_unix(struct rs_http_server *server, const char *path, struct rs_err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    RS_AUTO(rs_fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return rs_err_sys(err, errno, "cannot make a socket");
    if (!rs_str_copy_z(rs_str_c(path), un.sun_path, sizeof un.sun_path))
        return rs_err_set(err, RS_E_CONFIG, "the socket path %s is longer than %zu bytes", path,
                          sizeof un.sun_path - 1);
    if (is_stale(&un))
        unlink(path);
    if (bind(fd, (struct sockaddr *)&un, sizeof un) != 0)
        return rs_err_sys(err, errno, "cannot listen on %s", path);
    RS_TRY(add_listener(server, fd, path, err));
    rs_fd_take(&fd);
    return RS_OK;
}

static rs_rc bind_tcp(const struct addrinfo *info, const char *address, int *out_fd, struct rs_err *err)
{
    RS_AUTO(rs_fd_close) int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return rs_err_sys(err, errno, "cannot make a socket for %s", address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (info->ai_family == AF_INET6) /* "[::]:5000" means every address, also IPv4's, as in registry:2 */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0)
        return rs_err_sys(err, errno, "cannot listen on %s", address);
    *out_fd = rs_fd_take(&fd);
    return RS_OK;
}

/* Splits "host:port" and "[v6]:port"; an empty host means every address. */
static bool split_address(const char *address, char host[256], char port[32])
{
    rs_str s = rs_str_c(address), h;
    size_t colon;
    if (!rs_str_rfind(s, ':', &colon))
        return false;
    h = rs_str_sub(s, 0, colon);
    if (h.len >= 2 && h.ptr[0] == '[' && h.ptr[h.len - 1] == ']')
        h = rs_str_sub(h, 1, h.len - 2);
    return rs_str_copy_z(h, host, 256) && rs_str_copy_z(rs_str_from(s, colon + 1), port, 32) && port[0] != '\0';
}

static rs_rc listen_tcp(struct rs_http_server *server, const char *address, struct rs_err *err)
{
    char host[256], port[32];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    RS_AUTO(rs_fd_close) int fd = -1;
    if (!split_address(address, host, port))
        return rs_err_set(err, RS_E_CONFIG, "%s is not an address: expected host:port", address);
    int rc = getaddrinfo(host[0] != '\0' ? host : "::", port, &hints, &found);
    if (rc != 0)
        return rs_err_set(err, RS_E_CONFIG, "cannot resolve %s: %s", address, gai_strerror(rc));
    /* "localhost" has two addresses; the older one is the one that clients try. */
    const struct addrinfo *best = found;
    while (best->ai_family != AF_INET && best->ai_next != NULL)
        best = best->ai_next;
    rs_rc bound = bind_tcp(best->ai_family == AF_INET ? best : found, address, &fd, err);
    freeaddrinfo(found);
    if (bound != RS_OK && host[0] == '\0') { /* a machine without IPv6 */
        RS_ASSERT(getaddrinfo("0.0.0.0", port, &hints, &found) == 0);
        bound = bind_tcp(found, address, &fd, err);
        freeaddrinfo(found);
    }
    RS_TRY(bound);
    RS_TRY(add_listener(server, fd, NULL, err));
    rs_fd_take(&fd);
    return RS_OK;
}

rs_rc rs_http_listen(struct rs_http_server *server, const char *net, const char *address, struct rs_err *err)
{
    if (strcmp(net, "unix") == 0)
        return listen_unix(server, address, err);
    return listen_tcp(server, address, err);
}

/* The other lanes count too: one lane must not get all the connections because it woke first. */
static struct rs_lane *choose_lane(struct rs_lane *own)
{
    struct rs_http_server *server = own->server;
    struct rs_lane *best = own;
    for (unsigned i = 0; i < server->lane_count; i++)
        if (atomic_load(&server->lanes[i].connections) < atomic_load(&best->connections))
            best = &server->lanes[i];
    return best;
}

static void adopt(struct rs_lane *own, int fd)
{
    struct rs_lane *lane = choose_lane(own);
    struct rs_conn *conn = rs_conn_new(own->server, lane, fd);
    struct epoll_event event = {.events = RS_CONN_EVENTS, .data.ptr = conn};
    rs_mutex_lock(&lane->lock);
    conn->next = lane->arrived;
    lane->arrived = conn;
    rs_mutex_unlock(&lane->lock);
    int owner = RS_OWNER_LANE; /* else the lane is about to end it already */
    if (epoll_ctl(lane->epoll, EPOLL_CTL_ADD, fd, &event) != 0 &&
        atomic_compare_exchange_strong(&conn->owner, &owner, RS_OWNER_THREAD))
        rs_conn_close(conn);
}

/* Ends an idle connection of the lane, the one among the first few that has been idle for longest. A server that is
 * full of silent connections serves an honest client at their expense. */
static bool evict(struct rs_lane *lane)
{
    struct rs_conn *oldest = NULL;
    int seen = 0;
    for (struct rs_conn *conn = lane->first; conn != NULL && seen < 64; conn = conn->next, seen++) {
        if (atomic_load(&conn->owner) != RS_OWNER_LANE || conn->phase != RS_PHASE_HEAD)
            continue;
        if (oldest == NULL || conn->deadline_ms < oldest->deadline_ms)
            oldest = conn;
    }
    int owner = RS_OWNER_LANE;
    if (oldest == NULL || !atomic_compare_exchange_strong(&oldest->owner, &owner, RS_OWNER_THREAD))
        return false;
    rs_conn_close(oldest);
    return true;
}

/* Out of descriptors: give up the reserve to take one connection and end it; else it would wake us for ever. Another
 * lane may be at the same. */
static void refuse_one(struct rs_http_server *server, struct rs_listener *listener)
{
    int none = -1, reserve = atomic_exchange(&server->reserve_fd, -1);
    if (reserve >= 0)
        close(reserve);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        close(fd);
    reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (reserve >= 0 && !atomic_compare_exchange_strong(&server->reserve_fd, &none, reserve))
        close(reserve);
}

static bool is_shortage(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

void rs_listen_accept(struct rs_worker *worker, struct rs_lane *lane, struct rs_listener *listener)
{
    struct rs_http_server *server = worker->server;
    for (int i = 0; i < ACCEPT_SHARE; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && is_shortage(errno) && !evict(lane))
            refuse_one(server, listener);
        if (fd < 0)
            return;
        if (atomic_load(&server->connections) >= server->config.max_connections && !evict(lane))
            close(fd);
        else
            adopt(lane, fd);
    }
}
