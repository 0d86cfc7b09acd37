/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: allocation that aborts when there is none (for small things; what a peer can size is capped first), and
 * arenas, which free all at once. An arena belongs to one thread at a time.
 */
#pragma once

#include <stdarg.h>

#include "base/cc.h"
#include "base/str.h"

void *rs_malloc(size_t size) RS_MUST_USE;
void *rs_calloc(size_t count, size_t size) RS_MUST_USE;
void *rs_realloc(void *p, size_t size) RS_MUST_USE;
char *rs_strdup(const char *z) RS_MUST_USE;
char *rs_str_dup(rs_str s) RS_MUST_USE; /* NUL-terminated copy */
void rs_free_ptr(void *pp);             /* for RS_AUTO: frees *(void **)pp and nulls it */
void rs_wipe(void *p, size_t len);      /* zeroes what the optimiser may not leave out: secrets */

struct rs_arena;

struct rs_arena *rs_arena_new(void);
void rs_arena_free(struct rs_arena **arena);
void rs_arena_reset(struct rs_arena *arena); /* frees all objects, keeps one block for the next use */

/* Aligned for any type, uninitialised; never NULL. Under the address sanitizer each object is a malloc of its own. */
void *rs_arena_alloc(struct rs_arena *arena, size_t size);
void *rs_arena_zalloc(struct rs_arena *arena, size_t size);
rs_str rs_arena_copy(struct rs_arena *arena, rs_str s); /* the copy is NUL-terminated behind its length */
char *rs_arena_z(struct rs_arena *arena, rs_str s);     /* NUL-terminated copy */
rs_str rs_arena_printf(struct rs_arena *arena, const char *fmt, ...) RS_PRINTF(2, 3);
rs_str rs_arena_vprintf(struct rs_arena *arena, const char *fmt, va_list args) RS_PRINTF(2, 0);
