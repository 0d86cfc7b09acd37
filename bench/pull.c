/* SPDX-License-Identifier: Apache-2.0 */
/* pull ADDRESS:PORT PATH CLIENTS PULLS: every client has a thread and a keep-alive connection and gets PATH that often.
 * Prints one JSON line: seconds from the first request to the last byte, bytes, the slowest first byte. */
#include "wire.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct client {
    pthread_t thread;
    const char *path;
    long pulls;
    size_t bytes;
    double first_byte; /* seconds, the slowest of this client's pulls */
    pthread_barrier_t *start;
    struct wire wire;
};

static void *run(void *arg)
{
    struct client *client = arg;
    pthread_barrier_wait(client->start);
    for (long i = 0; i < client->pulls; i++) {
        struct wire_reply reply;
        double begin = wire_now();
        wire_request(&client->wire, "GET %s HTTP/1.1\r\n", client->path);
        wire_read_head(&client->wire, &reply, false);
        double waited = wire_now() - begin;
        if (reply.status != 200)
            wire_die("GET %s: status %d", client->path, reply.status);
        if (waited > client->first_byte)
            client->first_byte = waited;
        wire_discard(&client->wire, reply.body);
        client->bytes += reply.body;
    }
    return NULL;
}

static void start_clients(struct client *clients, unsigned count, const struct sockaddr_in *to)
{
    for (unsigned i = 0; i < count; i++) {
        wire_open(&clients[i].wire, to);
        if (pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
            wire_die("cannot start %u threads", count);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5)
        wire_die("usage: pull ADDRESS:PORT PATH CLIENTS PULLS");
    struct sockaddr_in to = wire_address(argv[1]);
    unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    struct client *clients = calloc(count, sizeof *clients);
    pthread_barrier_t start;
    if (count == 0 || clients == NULL || pthread_barrier_init(&start, NULL, count + 1) != 0)
        wire_die("bad number of clients: %s", argv[3]);
    for (unsigned i = 0; i < count; i++) {
        clients[i].path = argv[2];
        clients[i].pulls = strtol(argv[4], NULL, 10);
        clients[i].start = &start;
    }
    start_clients(clients, count, &to);
    double begin = wire_now(), first_byte = 0;
    size_t bytes = 0;
    pthread_barrier_wait(&start);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
        bytes += clients[i].bytes;
        if (clients[i].first_byte > first_byte)
            first_byte = clients[i].first_byte;
    }
    printf("{\"seconds\": %.6f, \"bytes\": %zu, \"first_byte\": %.6f}\n", wire_now() - begin, bytes, first_byte);
    return 0;
}
