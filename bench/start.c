/* SPDX-License-Identifier: Apache-2.0 */
/* start ADDRESS:PORT PATH PROGRAM ARGUMENT…: starts the program and asks for PATH until it answers 200. Prints the
 * milliseconds from just before the fork to that answer, then ends the program it started. */
#include "wire.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_NS 100000 /* between two attempts to connect */
#define GIVE_UP 20.0

extern char **environ;

static bool connected(struct wire *wire, const struct sockaddr_in *to)
{
    wire->have = 0;
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(wire->fd, (const struct sockaddr *)to, sizeof *to) == 0)
        return true;
    close(wire->fd);
    return false;
}

static void wait_for_answer(const struct sockaddr_in *to, const char *path, pid_t pid, double begin)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    struct wire wire;
    struct wire_reply reply;
    while (!connected(&wire, to)) {
        if (waitpid(pid, NULL, WNOHANG) == pid)
            wire_die("the server ended before it answered");
        if (wire_now() - begin > GIVE_UP) {
            kill(pid, SIGKILL);
            wire_die("the server did not listen within %.0f s", GIVE_UP);
        }
        nanosleep(&pause, NULL);
    }
    wire_request(&wire, "GET %s HTTP/1.1\r\n", path);
    wire_expect(&wire, &reply, 200, path);
    wire_close(&wire);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        wire_die("usage: start ADDRESS:PORT PATH PROGRAM ARGUMENT...");
    struct sockaddr_in to = wire_address(argv[1]);
    pid_t pid;
    double begin = wire_now();
    if (posix_spawn(&pid, argv[3], NULL, NULL, argv + 3, environ) != 0)
        wire_die("%s: %s", argv[3], strerror(errno));
    wait_for_answer(&to, argv[2], pid, begin);
    printf("%.3f\n", (wire_now() - begin) * 1e3);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return 0;
}
