/* SPDX-License-Identifier: Apache-2.0 */
/* The little HTTP/1.1 that the bench clients speak: one keep-alive connection, one request at a time, one thread a
 * connection. Everything that goes wrong ends the program with a text: a bench that goes on after an error lies. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_HEAD_SIZE 4096
#define WIRE_LOCATION_SIZE 2048
#define WIRE_HEX_SIZE 65

struct wire {
    int fd;
    size_t have; /* bytes of head[] that are a body's already */
    char head[WIRE_HEAD_SIZE];
};

struct wire_reply {
    int status;
    size_t body; /* Content-Length; 0 where the answer has no body */
    char location[WIRE_LOCATION_SIZE];
};

void wire_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
double wire_now(void); /* seconds of a clock that never jumps */

struct sockaddr_in wire_address(const char *host_port); /* "127.0.0.1:5000" */
void wire_open(struct wire *wire, const struct sockaddr_in *to);
void wire_close(struct wire *wire);

void wire_send(struct wire *wire, const void *data, size_t len);
/* Sends a head with the Host header and the empty line added; the format holds the request line and other headers. */
void wire_request(struct wire *wire, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reads an answer's head. `no_body`: it answers a HEAD. */
void wire_read_head(struct wire *wire, struct wire_reply *reply, bool no_body);
/* Reads a body without copying it, and ends the program when it breaks off. */
void wire_discard(struct wire *wire, size_t len);
/* Head and body of an answer that must have this status; `what` names the request in the error text. */
void wire_expect(struct wire *wire, struct wire_reply *reply, int status, const char *what);

/* Bytes that no compressor or deduplicator can make less of; the same seed gives the same bytes. */
void wire_fill(void *data, size_t len, uint64_t seed);
uint64_t wire_seed(void); /* differs in each call, from the kernel */
void wire_sha256(const void *data, size_t len, char out_hex[WIRE_HEX_SIZE]);

/* An upload as docker does it: the POST answers where to go on, the last PUT names the digest and, with `body` > 0, is
 * followed by that many bytes from the caller. */
void wire_upload_start(struct wire *wire, const char *repository, struct wire_reply *out);
void wire_upload_finish_head(struct wire *wire, const char *location, const char *hex, size_t body);
