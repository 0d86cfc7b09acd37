/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void rs_fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd); /* after EINTR the descriptor is gone on Linux: never again */
    *fd = -1;
}

int rs_fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

void rs_dir_close(DIR **dir)
{
    if (*dir != NULL)
        closedir(*dir);
    *dir = NULL;
}

int rs_fd_nameless(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/nameless-XXXXXX", directory);
    fd = n < (int)sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
    if (fd >= 0)
        unlink(path);
    return fd;
}

rs_rc rs_write_all(int fd, const void *data, size_t len, struct rs_err *err)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rs_err_sys(err, errno, "cannot write");
        at += n;
        len -= (size_t)n;
    }
    return RS_OK;
}

rs_rc rs_read_full(int fd, void *out, size_t len, size_t *out_n, struct rs_err *err)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = read(fd, (char *)out + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rs_err_sys(err, errno, "cannot read");
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *out_n = done;
    return RS_OK;
}

/* How much to ask for next: what the file claims to have left, else some more, never past the ceiling. */
static size_t next_piece(int fd, const struct rs_buf *out, size_t done)
{
    struct stat st;
    size_t piece = 16 * 1024;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size > done)
        piece = RS_MIN((size_t)st.st_size - done, 16 * 1024 * 1024);
    return RS_MIN(piece, out->max - out->len);
}

static rs_rc read_to_end(int fd, const char *path, struct rs_buf *out, struct rs_err *err)
{
    size_t start = out->len;
    for (;;) {
        char beyond; /* a full buffer is too small only if one more byte follows */
        size_t piece = next_piece(fd, out, out->len - start);
        char *to = piece == 0 ? &beyond : rs_buf_reserve(out, piece);
        size_t n;
        if (rs_read_full(fd, to, RS_MAX(piece, 1), &n, err) != RS_OK)
            return rs_err_wrap(err, "%s", path);
        if (piece == 0 && n > 0)
            return rs_err_set(err, RS_E_TOO_BIG, "%s: the file has more than the %zu bytes that are allowed here", path,
                              out->max);
        out->len += n;
        if (n < RS_MAX(piece, 1))
            return RS_OK;
    }
}

rs_rc rs_read_file(const char *path, struct rs_buf *out, struct rs_err *err)
{
    RS_AUTO(rs_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rs_err_sys(err, errno, "cannot open %s", path);
    struct rs_err own; /* rs_err_wrap needs one even when the caller does not */
    size_t before = out->len;
    rs_rc rc = read_to_end(fd, path, out, err == NULL ? &own : err);
    if (rc != RS_OK)
        out->len = before;
    return rc;
}
