/* SPDX-License-Identifier: Apache-2.0 */
/* idle ADDRESS:PORT CONNECTIONS PATH: opens so many keep-alive connections, makes one request on each, prints "ready"
 * and keeps them until its standard input ends. Then it makes one more request on each (a server that has closed an
 * idle connection is found out), prints "alive" with their number, and leaves. */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PER_ADDRESS 8000 /* well within the ports that one source address has for one server */
#define SPARE_FDS 64

static void raise_fd_limit(unsigned count)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = count + SPARE_FDS;
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        wire_die("cannot raise the limit of open files to %u: %s", count + SPARE_FDS, strerror(errno));
}

/* Sources 127.0.0.1, 127.0.0.2, …; closing resets, so that no port lingers. */
static int open_from(unsigned index, const struct sockaddr_in *to)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct linger reset = {.l_onoff = 1};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index / PER_ADDRESS);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        wire_die("connection %u: %s", index, strerror(errno));
    return fd;
}

static void ask(int fd, const char *path)
{
    static struct wire wire;
    struct wire_reply reply;
    wire.fd = fd;
    wire.have = 0;
    wire_request(&wire, "GET %s HTTP/1.1\r\n", path);
    wire_expect(&wire, &reply, 200, path);
}

static bool closed_by_peer(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        wire_die("usage: idle ADDRESS:PORT CONNECTIONS PATH");
    struct sockaddr_in to = wire_address(argv[1]);
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10), alive = 0;
    int *fds = calloc(count, sizeof *fds);
    char byte;
    if (fds == NULL)
        wire_die("no memory");
    raise_fd_limit(count);
    for (unsigned i = 0; i < count; i++) {
        fds[i] = open_from(i, &to);
        ask(fds[i], argv[3]);
    }
    printf("ready\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    for (unsigned i = 0; i < count; i++) {
        if (closed_by_peer(fds[i]))
            continue;
        ask(fds[i], argv[3]);
        alive++;
    }
    printf("alive %u\n", alive);
    free(fds);
    return 0;
}
