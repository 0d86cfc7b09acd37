/* SPDX-License-Identifier: Apache-2.0 */
/* Files and descriptors. All calls go on after EINTR. Any thread. */
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include "base/cc.h"
#include "base/err.h"
#include "base/str.h"

void rs_fd_close(int *fd);    /* for RS_AUTO: closes what is not negative, and sets -1 */
int rs_fd_take(int *fd);      /* hands it over: returns it and sets -1 */
void rs_dir_close(DIR **dir); /* for RS_AUTO: closes what is open, and nulls it */
/* A new file in the directory that has no name there, and so leaves nothing behind; -1 with errno. */
int rs_fd_nameless(const char *directory);

/* Writes all bytes; the error is errno's. */
rs_rc rs_write_all(int fd, const void *data, size_t len, struct rs_err *err);
/* Reads until len bytes or the end of the file. */
rs_rc rs_read_full(int fd, void *out, size_t len, size_t *out_n, struct rs_err *err);
/* The whole file, appended to out, whose ceiling holds (RS_E_TOO_BIG). */
rs_rc rs_read_file(const char *path, struct rs_buf *out, struct rs_err *err);
