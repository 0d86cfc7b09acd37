/* SPDX-License-Identifier: Apache-2.0 */
/* What the process asks of its system: descriptors, signals, another user. Called by one thread, before others run. */
#pragma once

#include "base/err.h"

/* Opens /dev/null on those of the descriptors 0, 1 and 2 that are closed: else a socket or a file would get the number,
 * and the log would be written into it. */
rs_rc rs_process_std_fds(struct rs_err *err);

/* Raises the limit of open files as far as it goes; root raises the hard limit too. *out: what it is now. RS_E_IO: it
 * stays too low to serve anybody. */
rs_rc rs_process_raise_files(uint64_t *out, struct rs_err *err);

/* Blocks the signals that rs_process_wait waits for, ignores SIGPIPE and SIGXFSZ, and lets the kernel reap orphans, so
 * that it works as PID 1 of a container. Threads that are made later inherit it. */
void rs_process_signals(void);
/* The next signal: SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2; or 0 after rs_process_wake. Any may come from anybody. */
int rs_process_wait(void);
int rs_process_wait_ms(int64_t ms); /* 0: none came within that time */
/* For commands that work and do not wait: whether SIGTERM or SIGINT has come since the start. Any thread. */
bool rs_process_is_told_to_stop(void);
/* Lets rs_process_wait return. Any thread. */
void rs_process_wake(void);

/* Becomes "user" or "user:group", names or numbers, for good; without a group that user's own groups. An empty text
 * does nothing. RS_E_CONFIG. */
rs_rc rs_process_become(const char *user, struct rs_err *err);
