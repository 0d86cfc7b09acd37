/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded into the server by LD_PRELOAD: kill -9 when it is about to make the n-th call that changes something outside
 * of it. KILLAT_FILE is mapped: its 64-bit number counts down to the kill; 0 or less does nothing.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic long *left;

__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("KILLAT_FILE");
    int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    void *map = fd >= 0 ? mmap(NULL, sizeof *left, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (map == MAP_FAILED)
        abort();
    left = map;
    close(fd);
}

static void step(void)
{
    if (left == NULL || atomic_load(left) <= 0 || atomic_fetch_sub(left, 1) != 1)
        return;
    kill(getpid(), SIGKILL);
    pause();
}

int openat64(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    if ((flags & (O_CREAT | O_TRUNC)) != 0)
        step();
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t n)
{
    step();
    return syscall(SYS_write, fd, data, n);
}

ssize_t send(int fd, const void *data, size_t n, int flags)
{
    step();
    return syscall(SYS_sendto, fd, data, n, flags, NULL, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    step();
    return syscall(SYS_sendmsg, fd, message, flags);
}

int fsync(int fd)
{
    step();
    return (int)syscall(SYS_fsync, fd);
}

int sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags)
{
    step();
    return (int)syscall(SYS_sync_file_range, fd, offset, n, flags);
}

int ftruncate64(int fd, off64_t length)
{
    step();
    return (int)syscall(SYS_ftruncate, fd, length);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    step();
    return (int)syscall(SYS_mkdirat, dir, path, mode);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    step();
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    step();
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    step();
    return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *path, int flags)
{
    step();
    return (int)syscall(SYS_unlinkat, dir, path, flags);
}
