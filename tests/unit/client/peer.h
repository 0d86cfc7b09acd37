/* SPDX-License-Identifier: Apache-2.0 */
/* A real HTTP server in a thread, that does by path what it is told. One connection at a time. */
#pragma once

#include <stdatomic.h>

#include "base/str.h"
#include "base/thread.h"

struct peer {
    int listener;
    int port;
    pthread_t thread;
    atomic_int connections; /* that were accepted */
    atomic_int requests;
    atomic_int talking;   /* the descriptor */
    pthread_mutex_t lock; /* of last */
    char last[64 * 1024];
};

void peer_start(struct peer *peer);
bool peer_got(struct peer *peer, const char *part); /* is this in the last request? */
void peer_stop(struct peer *peer);
