/* SPDX-License-Identifier: Apache-2.0 */
/* A server inside the test process, and a client that speaks raw bytes to it. */
#pragma once

#include "base/str.h"
#include "http/server.h"

struct harness {
    struct rs_http_config config; /* change it before harness_start */
    struct rs_http_server *server;
    int port;
    int port6;          /* at ::1 */
    char directory[64]; /* fresh; holds the file "big" of BIG_BYTES */
};

#define BIG_BYTES (8 * 1024 * 1024)

/*
 * Routes: GET /small ("small"), GET /file/NAME, GET /gate (blocking: waits until harness_open_gate), GET /sleep
 * (a short route that blocks without saying so, for 400 ms), PUT /up (answers the number of bytes), PUT /ignore
 * (answers without reading the body), PUT /echo (answers the body, at most 64 KiB), GET /who ("lane" or "worker": the
 * thread that serves it, and the remote address), GET /error/N (fails with that rs_rc).
 */
void harness_init(struct harness *h);
void harness_start(struct harness *h);
void harness_stop(struct harness *h);
void harness_close_gate(void);
void harness_open_gate(void);
int harness_at_gate(void); /* handlers that wait there */

/* All calls fail the test when something is wrong or takes longer than 10 s. */
int client_connect(const struct harness *h);
int client_connect6(const struct harness *h);
int client_connect_from(const struct harness *h, const char *address);
void client_send(int fd, const char *text);
/* Reads one reply; returns its status. The body goes to out (may be NULL), of the given size with NUL. */
int client_reply(int fd, char *out, size_t size);
int client_get(int fd, const char *path, char *out, size_t size);
bool client_closed(int fd);         /* waits for the end of the connection; false: more bytes came */
bool client_closed_cleanly(int fd); /* the same, and not by a reset */
bool client_quiet(int fd, int ms);  /* nothing comes within that time */
