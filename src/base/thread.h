/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and cores. Any thread. */
#pragma once

#include <pthread.h>

#include "base/cc.h"

unsigned rs_cores(void); /* that this process may use; at least 1 */

/* Starts a thread with a small stack. With out_thread NULL it is detached, else the caller joins it. Returns 0 or an
 * errno value. */
int rs_thread_start(pthread_t *out_thread, void *(*run)(void *arg), void *arg);
