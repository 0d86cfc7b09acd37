/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"

/* A reader that pauses for a moment under load shall lose nothing: some thousand lines. More needs privileges. */
#define PIPE_BYTES (1024 * 1024)

enum how {
    WRITE, /* files, which do not wait for readers, and what is O_NONBLOCK */
    SEND,  /* sockets */
    ASK,   /* poll(2) first: what could not be opened again */
};

static struct sink {
    const int fd;
    enum how how;
    _Atomic bool torn;        /* a line broke off in its middle: the next one begins with a line end */
    _Atomic uint64_t dropped; /* and not yet told */
    _Atomic uint64_t dropped_ever;
} sinks[] = {[RS_SINK_LOG] = {.fd = STDERR_FILENO}, [RS_SINK_ACCESS] = {.fd = STDOUT_FILENO}};

static struct rs_mutex asking; /* only for ASK: else another thread could fill the pipe after the poll */

/* O_NONBLOCK set on the descriptor that we were given would hold for all processes that share it. */
static bool reopen(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    RS_AUTO(rs_fd_close) int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return own >= 0 && dup3(own, fd, O_CLOEXEC) == fd;
}

static void widen(int fd)
{
    int size = fcntl(fd, F_GETPIPE_SZ);
    if (size >= 0 && size < PIPE_BYTES)
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); /* as it is will do too */
}

static enum how open_one(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return WRITE;
    if (S_ISSOCK(st.st_mode))
        return SEND;
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return WRITE;
    if (S_ISFIFO(st.st_mode))
        widen(fd);
    return reopen(fd) ? WRITE : ASK;
}

void rs_sink_open(void)
{
    rs_mutex_init(&asking, RS_LOCK_SINK);
    for (size_t i = 0; i < RS_COUNT(sinks); i++)
        sinks[i].how = open_one(sinks[i].fd);
}

static ssize_t put_some(const struct sink *sink, rs_str bytes)
{
    struct pollfd room = {.fd = sink->fd, .events = POLLOUT};
    switch (sink->how) {
    case SEND:
        return send(sink->fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case ASK:
        if (poll(&room, 1, 0) == 0) {
            errno = EAGAIN;
            return -1;
        }
        return write(sink->fd, bytes.ptr, RS_MIN(bytes.len, PIPE_BUF)); /* a pipe that is ready takes that much */
    case WRITE:
        break;
    }
    return write(sink->fd, bytes.ptr, bytes.len);
}

/* How many bytes went out. */
static size_t put(const struct sink *sink, rs_str bytes)
{
    size_t done = 0;
    errno = 0;
    while (done < bytes.len) {
        ssize_t n = put_some(sink, rs_str_from(bytes, done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            break;
    }
    return done;
}

/* On a line of its own. */
static bool put_line(struct sink *sink, rs_str line)
{
    if (atomic_load_explicit(&sink->torn, memory_order_relaxed) && atomic_exchange(&sink->torn, false) &&
        put(sink, RS_STR("\n")) == 0) {
        atomic_store(&sink->torn, true);
        return false;
    }
    size_t n = put(sink, line);
    if (n > 0 && n < line.len)
        atomic_store(&sink->torn, true);
    return n == line.len;
}

bool rs_sink_write(enum rs_sink which, rs_str line)
{
    struct sink *sink = &sinks[which];
    if (sink->how == ASK)
        rs_mutex_lock(&asking);
    bool whole = put_line(sink, line);
    bool slow = !whole && errno == EAGAIN;
    if (sink->how == ASK)
        rs_mutex_unlock(&asking);
    if (slow) {
        rs_sink_add_dropped(which, 1);
        atomic_fetch_add(&sink->dropped_ever, 1);
    }
    return whole;
}

uint64_t rs_sink_take_dropped(enum rs_sink sink)
{
    if (atomic_load_explicit(&sinks[sink].dropped, memory_order_relaxed) == 0)
        return 0;
    return atomic_exchange(&sinks[sink].dropped, 0);
}

uint64_t rs_sink_dropped(enum rs_sink sink)
{
    return atomic_load(&sinks[sink].dropped_ever);
}

void rs_sink_add_dropped(enum rs_sink sink, uint64_t n)
{
    atomic_fetch_add(&sinks[sink].dropped, n);
}
