/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DISCARD_SIZE ((size_t)1 << 20)

void wire_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "bench client: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

double wire_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct sockaddr_in wire_address(const char *host_port)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN];
    const char *colon = strchr(host_port, ':');
    if (colon == NULL || (size_t)(colon - host_port) >= sizeof host)
        wire_die("%s: expected ADDRESS:PORT", host_port);
    memcpy(host, host_port, (size_t)(colon - host_port));
    host[colon - host_port] = '\0';
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
        wire_die("%s: not an IPv4 address", host);
    to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return to;
}

void wire_open(struct wire *wire, const struct sockaddr_in *to)
{
    int on = 1;
    wire->have = 0;
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (wire->fd < 0)
        wire_die("socket: %s", strerror(errno));
    if (connect(wire->fd, (const struct sockaddr *)to, sizeof *to) != 0)
        wire_die("connect to port %u: %s", ntohs(to->sin_port), strerror(errno));
    setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void wire_close(struct wire *wire)
{
    close(wire->fd);
    wire->fd = -1;
}

void wire_send(struct wire *wire, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t sent = send(wire->fd, at, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            wire_die("send: %s", strerror(errno));
        at += sent;
        len -= (size_t)sent;
    }
}

void wire_request(struct wire *wire, const char *format, ...)
{
    static const char tail[] = "Host: bench\r\nUser-Agent: roadstead-bench\r\n"
                               "Accept: application/vnd.docker.distribution.manifest.v2+json\r\nAccept: */*\r\n\r\n";
    char head[WIRE_HEAD_SIZE];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(head, sizeof head - sizeof tail, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof head - sizeof tail)
        wire_die("a request head is too long");
    memcpy(head + len, tail, sizeof tail - 1);
    wire_send(wire, head, (size_t)len + sizeof tail - 1);
}

/* The value of a header in a NUL-terminated head, or NULL. */
static const char *header(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
            return line + 2 + len + 1 + strspn(line + 2 + len + 1, " ");
    }
    return NULL;
}

/* A Location is kept as a path, whether it came as one or as a whole address. */
static void keep_location(const char *value, struct wire_reply *reply)
{
    reply->location[0] = '\0';
    if (value == NULL)
        return;
    const char *host = strncmp(value, "http://", 7) == 0 ? strchr(value + 7, '/') : value;
    size_t len = host == NULL ? 0 : strcspn(host, "\r\n");
    if (len >= sizeof reply->location)
        wire_die("a Location is too long");
    memcpy(reply->location, host == NULL ? "" : host, len);
    reply->location[len] = '\0';
}

/* Receives until the empty line; returns where the body begins. */
static char *receive_head(struct wire *wire)
{
    char *end;
    wire->head[wire->have] = '\0';
    while ((end = strstr(wire->head, "\r\n\r\n")) == NULL) {
        if (wire->have == sizeof wire->head - 1)
            wire_die("an answer's head is longer than %zu bytes", sizeof wire->head);
        ssize_t got = recv(wire->fd, wire->head + wire->have, sizeof wire->head - 1 - wire->have, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            wire_die("no answer: %s", got == 0 ? "the server closed the connection" : strerror(errno));
        wire->have += (size_t)got;
        wire->head[wire->have] = '\0';
    }
    return end + 4;
}

void wire_read_head(struct wire *wire, struct wire_reply *reply, bool no_body)
{
    char *body = receive_head(wire);
    char after = *body;
    *body = '\0';
    if (strncmp(wire->head, "HTTP/1.1 ", 9) != 0)
        wire_die("not an HTTP/1.1 answer: %.40s", wire->head);
    reply->status = (int)strtol(wire->head + 9, NULL, 10);
    const char *length = header(wire->head, "Content-Length");
    if (header(wire->head, "Transfer-Encoding") != NULL)
        wire_die("a chunked answer, which this client does not read: %.60s", wire->head);
    bool has_body = !no_body && reply->status != 204 && reply->status != 304;
    if (has_body && length == NULL)
        wire_die("an answer without Content-Length: %.60s", wire->head);
    reply->body = has_body ? strtoul(length, NULL, 10) : 0;
    keep_location(header(wire->head, "Location"), reply);
    *body = after;
    wire->have -= (size_t)(body - wire->head);
    memmove(wire->head, body, wire->have);
}

void wire_discard(struct wire *wire, size_t len)
{
    static char sink[DISCARD_SIZE]; /* never written: MSG_TRUNC drops the bytes in the kernel */
    size_t early = wire->have < len ? wire->have : len;
    wire->have -= early;
    memmove(wire->head, wire->head + early, wire->have);
    len -= early;
    while (len > 0) {
        ssize_t got = recv(wire->fd, sink, len < sizeof sink ? len : sizeof sink, MSG_TRUNC);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            wire_die("a body broke off %zu bytes before its end: %s", len, got == 0 ? "closed" : strerror(errno));
        len -= (size_t)got;
    }
}

void wire_expect(struct wire *wire, struct wire_reply *reply, int status, const char *what)
{
    wire_read_head(wire, reply, false);
    if (reply->status != status)
        wire_die("%s: status %d instead of %d: %.*s", what, reply->status, status, (int)wire->have, wire->head);
    wire_discard(wire, reply->body);
}

void wire_fill(void *data, size_t len, uint64_t seed)
{
    unsigned char *at = data;
    while (len > 0) { /* splitmix64 */
        uint64_t word = seed += 0x9e3779b97f4a7c15u;
        word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
        word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
        word ^= word >> 31;
        size_t take = len < sizeof word ? len : sizeof word;
        memcpy(at, &word, take);
        at += take;
        len -= take;
    }
}

uint64_t wire_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        wire_die("getrandom: %s", strerror(errno));
    return seed;
}

void wire_sha256(const void *data, size_t len, char out_hex[WIRE_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[32];
    if (EVP_Digest(data, len, raw, NULL, EVP_sha256(), NULL) != 1)
        wire_die("SHA-256 failed");
    for (size_t i = 0; i < sizeof raw; i++) {
        out_hex[2 * i] = digits[raw[i] >> 4];
        out_hex[2 * i + 1] = digits[raw[i] & 15];
    }
    out_hex[2 * sizeof raw] = '\0';
}

void wire_upload_start(struct wire *wire, const char *repository, struct wire_reply *out)
{
    wire_request(wire, "POST /v2/%s/blobs/uploads/ HTTP/1.1\r\nContent-Length: 0\r\n", repository);
    wire_expect(wire, out, 202, "starting an upload");
    if (out->location[0] == '\0')
        wire_die("starting an upload: the answer has no Location");
}

void wire_upload_finish_head(struct wire *wire, const char *location, const char *hex, size_t body)
{
    char joint = strchr(location, '?') == NULL ? '?' : '&';
    wire_request(wire,
                 "PUT %s%cdigest=sha256:%s HTTP/1.1\r\nContent-Length: %zu\r\n"
                 "Content-Type: application/octet-stream\r\n",
                 location, joint, hex, body);
}
