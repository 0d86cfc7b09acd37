/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashing beside the thread that receives and writes: for long uploads, as long as there is a core for it. Private to
 * the registry; used by one thread, the one that receives.
 */
#pragma once

#include "base/hash.h"

#define RS_HASH_PIECE (256 * 1024)

struct rs_hash_thread;

/* NULL if every core is taken by another upload's, or no thread can be had: then hash in place. The thread has *hash
 * to itself until rs_hash_thread_wait or _stop. */
struct rs_hash_thread *rs_hash_thread_start(struct rs_hash *hash);
/* Where to put the next RS_HASH_PIECE bytes; waits until the thread has done with the place. */
void *rs_hash_thread_buffer(struct rs_hash_thread *t);
/* The first len bytes of that buffer are to be hashed. They may still be read. */
void rs_hash_thread_give(struct rs_hash_thread *t, size_t len);
/* Waits until all that was given is hashed: *hash may then be read until the next give. */
void rs_hash_thread_wait(struct rs_hash_thread *t);
/* The same, and ends it, without waiting until the thread is gone. NULL is fine. */
void rs_hash_thread_stop(struct rs_hash_thread **t);
