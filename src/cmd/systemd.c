/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/systemd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"

#define SOCKETS_MAX 64

void rs_systemd_notify(const char *state)
{
    rs_str path = rs_str_c(getenv("NOTIFY_SOCKET"));
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (path.len < 2 || path.len >= sizeof address.sun_path || (path.ptr[0] != '/' && path.ptr[0] != '@'))
        return;
    memcpy(address.sun_path, path.ptr, path.len);
    if (path.ptr[0] == '@') /* the abstract name space */
        address.sun_path[0] = '\0';
    RS_AUTO(rs_fd_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len);
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, len);
}

static uint64_t number_of(const char *variable, uint64_t max)
{
    uint64_t n = 0;
    const char *text = getenv(variable);

    return text != NULL && rs_str_u64(rs_str_c(text), max, &n) ? n : 0;
}

unsigned rs_systemd_sockets(void)
{
    bool ours = number_of("LISTEN_PID", INT32_MAX) == (uint64_t)getpid();
    unsigned n = ours ? (unsigned)number_of("LISTEN_FDS", SOCKETS_MAX) : 0;

    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (unsigned i = 0; i < n; i++)
        fcntl(RS_SYSTEMD_FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC);
    return n;
}
