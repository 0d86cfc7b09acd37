/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdarg.h>

static void RS_NORETURN out_of_memory(size_t size)
{
    fprintf(stderr, "roadstead: out of memory (%zu bytes)\n", size);
    abort();
}

void *rs_malloc(size_t size)
{
    void *p = malloc(RS_MAX(size, 1));
    if (p == NULL)
        out_of_memory(size);
    return p;
}

void *rs_calloc(size_t count, size_t size)
{
    void *p = calloc(RS_MAX(count, 1), RS_MAX(size, 1));
    if (p == NULL)
        out_of_memory(size);
    return p;
}

void *rs_realloc(void *p, size_t size)
{
    void *q = realloc(p, RS_MAX(size, 1));
    if (q == NULL)
        out_of_memory(size);
    return q;
}

char *rs_strdup(const char *z)
{
    return rs_str_dup(rs_str_c(z));
}

/* Copies s to `to` and ends it with a NUL; `to` has s.len + 1 bytes. */
static char *copy_z(char *to, rs_str s)
{
    if (s.len > 0)
        memcpy(to, s.ptr, s.len);
    to[s.len] = '\0';
    return to;
}

char *rs_str_dup(rs_str s)
{
    return copy_z(rs_malloc(s.len + 1), s);
}

void rs_free_ptr(void *pp)
{
    void **p = pp;
    free(*p);
    *p = NULL;
}

void rs_wipe(void *p, size_t len)
{
    if (len > 0)
        explicit_bzero(p, len);
}

/*
 * The arena: small objects are cut from the current block, the newest and largest of `blocks`; an object that would
 * waste much of a block gets one of its own, in `large`. A reset keeps the current block, so an arena that is used
 * again and again soon needs no malloc; BLOCK_MAX bounds what it holds on to.
 */
#define BLOCK_MIN 4096
#define BLOCK_MAX (64 * 1024)
#define ALIGNMENT _Alignof(max_align_t)

struct block {
    struct block *next;
    size_t size; /* bytes of `bytes` */
    _Alignas(ALIGNMENT) char bytes[];
};

struct rs_arena {
    struct block *blocks;
    struct block *large;
    size_t used; /* of the current block */
};

static struct block *block_new(size_t size, struct block *next)
{
    if (size > PTRDIFF_MAX - sizeof(struct block))
        out_of_memory(size);
    struct block *block = rs_malloc(sizeof *block + size);
    block->next = next;
    block->size = size;
    return block;
}

static void blocks_free(struct block *block)
{
    while (block != NULL) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

struct rs_arena *rs_arena_new(void)
{
    return rs_calloc(1, sizeof(struct rs_arena));
}

void rs_arena_free(struct rs_arena **arena)
{
    if (*arena == NULL)
        return;
    blocks_free((*arena)->large);
    blocks_free((*arena)->blocks);
    free(*arena);
    *arena = NULL;
}

void rs_arena_reset(struct rs_arena *arena)
{
    blocks_free(arena->large);
    arena->large = NULL;
    arena->used = 0;
    if (arena->blocks == NULL)
        return;
    blocks_free(arena->blocks->next);
    arena->blocks->next = NULL;
}

static void *alloc_large(struct rs_arena *arena, size_t size)
{
    arena->large = block_new(size, arena->large);
    return arena->large->bytes;
}

#ifdef RS_SANITIZED

void *rs_arena_alloc(struct rs_arena *arena, size_t size)
{
    return alloc_large(arena, size);
}

#else

/* The size of the block after the current one. */
static size_t next_block_size(const struct rs_arena *arena)
{
    size_t header = sizeof(struct block);
    if (arena->blocks == NULL)
        return BLOCK_MIN - header;
    return RS_MIN(2 * (arena->blocks->size + header), BLOCK_MAX) - header;
}

void *rs_arena_alloc(struct rs_arena *arena, size_t size)
{
    if (size > BLOCK_MAX / 4)
        return alloc_large(arena, size);
    size = (RS_MAX(size, 1) + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (arena->blocks == NULL || arena->blocks->size - arena->used < size) {
        size_t block_size = next_block_size(arena);
        if (size > block_size / 4)
            return alloc_large(arena, size);
        arena->blocks = block_new(block_size, arena->blocks);
        arena->used = 0;
    }
    void *p = arena->blocks->bytes + arena->used;
    arena->used += size;
    return p;
}

#endif

void *rs_arena_zalloc(struct rs_arena *arena, size_t size)
{
    return memset(rs_arena_alloc(arena, size), 0, size);
}

rs_str rs_arena_copy(struct rs_arena *arena, rs_str s)
{
    return (rs_str){rs_arena_z(arena, s), s.len};
}

char *rs_arena_z(struct rs_arena *arena, rs_str s)
{
    return copy_z(rs_arena_alloc(arena, s.len + 1), s);
}

rs_str rs_arena_vprintf(struct rs_arena *arena, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    RS_ASSERT(n >= 0);
    char *text = rs_arena_alloc(arena, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return (rs_str){text, (size_t)n};
}

rs_str rs_arena_printf(struct rs_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    rs_str text = rs_arena_vprintf(arena, fmt, args);
    va_end(args);
    return text;
}
