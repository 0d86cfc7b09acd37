/* SPDX-License-Identifier: Apache-2.0 */
/* limit DIRECTORY inline|pipelined: how fast this machine can take a push at best. Prints its port, then for every PUT
 * receives the body, hashes it with OpenSSL, writes it to a file, syncs that once and answers 201.
 * `inline` is the plain recipe: one thread, one sync at the end. `pipelined` is the best we know: the hash in a second
 * thread, write-back started early. One client at a time; ends when its standard input does. */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE ((size_t)256 << 10)
#define PIECES 16
#define WRITE_BACK ((size_t)8 << 20)

/* Pieces go round: the receiver fills `filled`, the hasher follows with `hashed`; both only grow. */
struct ring {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    size_t filled, hashed;
    size_t len[PIECES];
    char *data;
    EVP_MD_CTX *hash;
};

static void digest_more(EVP_MD_CTX *hash, const void *data, size_t len)
{
    if (EVP_DigestUpdate(hash, data, len) != 1)
        wire_die("SHA-256 failed");
}

static void write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(fd, data, len);
        if (wrote < 0)
            wire_die("write: %s", strerror(errno));
        data += wrote;
        len -= (size_t)wrote;
    }
}

/* Up to a piece of the body; `left` is how much of it is still to come. */
static size_t receive(struct wire *wire, char *into, size_t left)
{
    size_t want = left < PIECE ? left : PIECE, early = wire->have < want ? wire->have : want;
    memcpy(into, wire->head, early);
    wire->have -= early;
    memmove(wire->head, wire->head + early, wire->have);
    if (early == want)
        return want;
    ssize_t got = recv(wire->fd, into + early, want - early, MSG_WAITALL);
    if (got != (ssize_t)(want - early))
        wire_die("a push broke off");
    return want;
}

static void take_inline(struct wire *wire, int fd, size_t len, struct ring *ring)
{
    while (len > 0) {
        size_t got = receive(wire, ring->data, len);
        digest_more(ring->hash, ring->data, got);
        write_all(fd, ring->data, got);
        len -= got;
    }
}

static void *hash_pieces(void *arg)
{
    struct ring *ring = arg;
    for (size_t at = 0;; at++) {
        pthread_mutex_lock(&ring->lock);
        while (ring->filled == at)
            pthread_cond_wait(&ring->moved, &ring->lock);
        pthread_mutex_unlock(&ring->lock);
        size_t len = ring->len[at % PIECES];
        if (len == 0)
            return NULL;
        digest_more(ring->hash, ring->data + at % PIECES * PIECE, len);
        pthread_mutex_lock(&ring->lock);
        ring->hashed = at + 1;
        pthread_cond_signal(&ring->moved);
        pthread_mutex_unlock(&ring->lock);
    }
}

static void wait_for_room(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    while (ring->filled - ring->hashed == PIECES)
        pthread_cond_wait(&ring->moved, &ring->lock);
    pthread_mutex_unlock(&ring->lock);
}

static void hand_over(struct ring *ring, size_t len)
{
    pthread_mutex_lock(&ring->lock);
    ring->len[ring->filled++ % PIECES] = len; /* 0 ends the hasher */
    pthread_cond_signal(&ring->moved);
    pthread_mutex_unlock(&ring->lock);
}

static void take_pipelined(struct wire *wire, int fd, size_t len, struct ring *ring)
{
    pthread_t hasher;
    size_t written = 0, started = 0;
    ring->filled = ring->hashed = 0;
    if (pthread_create(&hasher, NULL, hash_pieces, ring) != 0)
        wire_die("cannot start a thread");
    for (; len > 0; len -= ring->len[(ring->filled - 1) % PIECES]) {
        wait_for_room(ring);
        char *into = ring->data + ring->filled % PIECES * PIECE;
        size_t got = receive(wire, into, len);
        hand_over(ring, got);
        write_all(fd, into, got);
        written += got;
        if (written - started >= WRITE_BACK) {
            sync_file_range(fd, (off_t)started, (off_t)(written - started), SYNC_FILE_RANGE_WRITE);
            started = written;
        }
    }
    wait_for_room(ring);
    hand_over(ring, 0);
    pthread_join(hasher, NULL);
}

/* Receives the head of a request: the same parser as the client's, for all we read of it is the length. */
static bool read_request(struct wire *wire, size_t *out_len)
{
    char *end, *length;
    wire->head[wire->have] = '\0';
    while ((end = strstr(wire->head, "\r\n\r\n")) == NULL) {
        ssize_t got = recv(wire->fd, wire->head + wire->have, sizeof wire->head - 1 - wire->have, 0);
        if (got <= 0)
            return false;
        wire->have += (size_t)got;
        wire->head[wire->have] = '\0';
    }
    length = strstr(wire->head, "Content-Length: ");
    if (length == NULL || length > end)
        wire_die("a push without Content-Length");
    *out_len = strtoul(length + 16, NULL, 10);
    wire->have -= (size_t)(end + 4 - wire->head);
    memmove(wire->head, end + 4, wire->have);
    return true;
}

static void serve(struct wire *wire, int directory, bool pipelined, struct ring *ring)
{
    static const char created[] = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    unsigned char digest[32];
    size_t len;
    while (read_request(wire, &len)) {
        int fd = openat(directory, "limit", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || EVP_DigestInit_ex(ring->hash, EVP_sha256(), NULL) != 1)
            wire_die("cannot begin: %s", strerror(errno));
        if (pipelined)
            take_pipelined(wire, fd, len, ring);
        else
            take_inline(wire, fd, len, ring);
        if (EVP_DigestFinal_ex(ring->hash, digest, NULL) != 1 || fsync(fd) != 0)
            wire_die("cannot finish: %s", strerror(errno));
        wire_send(wire, created, sizeof created - 1);
        close(fd);
        unlinkat(directory, "limit", 0);
    }
}

static int listen_anywhere(void)
{
    struct sockaddr_in at = wire_address("127.0.0.1:0");
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        wire_die("cannot listen: %s", strerror(errno));
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        wire_die("usage: limit DIRECTORY inline|pipelined");
    struct ring ring = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    struct pollfd wait[2] = {{.fd = -1, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    int directory = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ring.data = malloc(PIECES * PIECE);
    ring.hash = EVP_MD_CTX_new();
    if (directory < 0 || ring.data == NULL || ring.hash == NULL)
        wire_die("cannot begin in %s: %s", argv[1], strerror(errno));
    wait[0].fd = listen_anywhere();
    while (poll(wait, 2, -1) > 0 && wait[1].revents == 0) {
        struct wire wire = {.fd = accept4(wait[0].fd, NULL, NULL, SOCK_CLOEXEC)};
        if (wire.fd < 0)
            continue;
        serve(&wire, directory, strcmp(argv[2], "pipelined") == 0, &ring);
        wire_close(&wire);
    }
    free(ring.data);
    EVP_MD_CTX_free(ring.hash);
    return 0;
}
