/* SPDX-License-Identifier: Apache-2.0 */
/* latency ADDRESS:PORT FILE CLIENTS RATE SECONDS: gets paths of FILE, one a line, in random order. Every client has a
 * thread and a keep-alive connection and makes RATE requests a second, at times fixed beforehand: an answer's time
 * counts from when its request was due, so that a server that stops for a while is not asked less. Prints one JSON
 * line: the number of answers, and the 50th, 99th and 100th percentile in seconds. */
#include "wire.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_SIZE 1024

struct paths {
    char **at;
    size_t count;
};

struct client {
    pthread_t thread;
    const struct paths *paths;
    struct wire wire;
    uint64_t random;
    double begin, interval; /* seconds */
    size_t count;           /* of its requests */
    double *taken;          /* out: seconds of each */
};

static struct paths read_paths(const char *name)
{
    struct paths paths = {0};
    char line[LINE_SIZE];
    FILE *file = fopen(name, "re");
    if (file == NULL)
        wire_die("cannot read %s", name);
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        paths.at = realloc(paths.at, (paths.count + 1) * sizeof *paths.at);
        if (paths.at == NULL || (paths.at[paths.count++] = strdup(line)) == NULL)
            wire_die("no memory");
    }
    fclose(file);
    if (paths.count == 0)
        wire_die("%s names no path", name);
    return paths;
}

static const char *choose(struct client *client)
{
    client->random ^= client->random << 13;
    client->random ^= client->random >> 7;
    client->random ^= client->random << 17;
    return client->paths->at[client->random % client->paths->count];
}

static void wait_until(double when)
{
    struct timespec at = {.tv_sec = (time_t)when, .tv_nsec = (long)((when - (double)(time_t)when) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
}

static void *run(void *arg)
{
    struct client *client = arg;
    for (size_t i = 0; i < client->count; i++) {
        struct wire_reply reply;
        double due = client->begin + (double)i * client->interval;
        const char *path = choose(client);
        wait_until(due);
        wire_request(&client->wire, "GET %s HTTP/1.1\r\n", path);
        wire_expect(&client->wire, &reply, 200, path);
        client->taken[i] = wire_now() - due;
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

static void print(double *taken, size_t count)
{
    qsort(taken, count, sizeof *taken, compare);
    printf("{\"answers\": %zu, \"p50\": %.6f, \"p99\": %.6f, \"max\": %.6f}\n", count, taken[count / 2],
           taken[count * 99 / 100], taken[count - 1]);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        wire_die("usage: latency ADDRESS:PORT FILE CLIENTS RATE SECONDS");
    struct sockaddr_in to = wire_address(argv[1]);
    struct paths paths = read_paths(argv[2]);
    unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    double rate = strtod(argv[4], NULL);
    size_t each = (size_t)(rate * strtod(argv[5], NULL));
    struct client *clients = calloc(count, sizeof *clients);
    double *taken = calloc(count * each, sizeof *taken), begin = wire_now() + 0.01;
    if (count == 0 || each == 0 || clients == NULL || taken == NULL)
        wire_die("nothing to do with %u clients and %zu requests each", count, each);
    for (unsigned i = 0; i < count; i++) {
        clients[i] = (struct client){.paths = &paths,
                                     .random = wire_seed() | 1,
                                     .interval = 1 / rate,
                                     .count = each,
                                     .begin = begin + i / (rate * count),
                                     .taken = taken + i * each};
        wire_open(&clients[i].wire, &to);
        if (pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
            wire_die("cannot start %u threads", count);
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(clients[i].thread, NULL);
    print(taken, count * each);
    return 0;
}
