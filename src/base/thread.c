/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <sched.h>

/* A blocked thread costs the pages that it touched, whatever the size of its stack (docs/ENGINE.md); 64 KiB would be
 * too little for some libraries. */
#ifdef RS_SANITIZED
#define STACK_SIZE (2 * 1024 * 1024)
#else
#define STACK_SIZE (256 * 1024)
#endif

unsigned rs_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

int rs_thread_start(pthread_t *out_thread, void *(*run)(void *arg), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, out_thread == NULL ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    int rc = pthread_create(out_thread != NULL ? out_thread : &thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    return rc;
}
