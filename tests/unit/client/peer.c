/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG (200 * 1024)

static void say(int fd, const char *text, size_t len)
{
    (void)!send(fd, text, len, MSG_NOSIGNAL);
}

static void answer(int fd, const char *status, const char *header, size_t body_len)
{
    static char body[BIG];
    char head[512];

    memset(body, 'x', sizeof body);
    int len = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, body_len, header);
    say(fd, head, (size_t)len);
    say(fd, body, body_len);
}

/* Waits until the other side goes, as a server that hangs. */
static void hang(int fd)
{
    struct pollfd waiting = {.fd = fd, .events = POLLRDHUP};
    poll(&waiting, 1, 10000);
}

/* False: the connection ends. */
static bool serve(struct peer *peer, int fd, const char *request)
{
    char path[64] = "";
    char header[128];

    sscanf(request, "%*s %63s", path);
    atomic_fetch_add(&peer->requests, 1);
    if (strcmp(path, "/big") == 0)
        answer(fd, "200 OK", "", BIG);
    else if (strcmp(path, "/missing") == 0)
        answer(fd, "404 Not Found", "", 7);
    else if (strcmp(path, "/close") == 0)
        answer(fd, "200 OK", "Connection: close\r\n", 0);
    else if (strcmp(path, "/nothing") == 0)
        say(fd, "HTTP/1.1 204 No Content\r\n\r\n", 27);
    else if (strcmp(path, "/away") == 0) {
        snprintf(header, sizeof header, "Location: http://127.0.0.1:%d/there\r\n", peer->port);
        answer(fd, "302 Found", header, 0);
    } else if (strcmp(path, "/circle") == 0)
        answer(fd, "307 Temporary Redirect", "Location: /circle\r\n", 0);
    else if (strcmp(path, "/file") == 0)
        answer(fd, "302 Found", "Location: file:///etc/hostname\r\n", 0);
    else if (strcmp(path, "/hang") == 0)
        hang(fd);
    else if (strcmp(path, "/cut") == 0)
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 42);
    else
        answer(fd, "200 OK", "", 5);
    return strcmp(path, "/hang") != 0 && strcmp(path, "/cut") != 0 && strcmp(path, "/away") != 0 &&
           strcmp(path, "/close") != 0;
}

/* Reads a head and as much body as Content-Length says. */
static bool read_request(int fd, char *out, size_t size)
{
    size_t len = 0;
    size_t want = SIZE_MAX;

    while (len < want && len + 1 < size) {
        ssize_t n = recv(fd, out + len, size - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        out[len] = '\0';
        const char *end = strstr(out, "\r\n\r\n");
        const char *length = strcasestr(out, "\r\ncontent-length: ");
        if (end != NULL)
            want = (size_t)(end + 4 - out) + (length != NULL && length < end ? strtoul(length + 18, NULL, 10) : 0);
    }
    return true;
}

static void talk(struct peer *peer, int fd)
{
    static char request[sizeof peer->last];

    do {
        if (!read_request(fd, request, sizeof request))
            return;
        pthread_mutex_lock(&peer->lock);
        memcpy(peer->last, request, sizeof request);
        pthread_mutex_unlock(&peer->lock);
    } while (serve(peer, fd, request));
}

bool peer_got(struct peer *peer, const char *part)
{
    pthread_mutex_lock(&peer->lock);
    bool got = strstr(peer->last, part) != NULL;
    pthread_mutex_unlock(&peer->lock);
    return got;
}

static void *run(void *arg)
{
    struct peer *peer = arg;

    for (;;) {
        int fd = accept(peer->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        atomic_fetch_add(&peer->connections, 1);
        atomic_store(&peer->talking, fd);
        talk(peer, fd);
        atomic_store(&peer->talking, 0);
        close(fd);
    }
}

void peer_start(struct peer *peer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    memset(peer, 0, sizeof *peer);
    pthread_mutex_init(&peer->lock, NULL);
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(peer->listener, 8), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&at, &len), 0);
    peer->port = ntohs(at.sin_port);
    assert_int_equal(rs_thread_start(&peer->thread, run, peer), 0);
}

void peer_stop(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    if (atomic_load(&peer->talking) > 0) /* the client keeps its connection */
        shutdown(atomic_load(&peer->talking), SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}
