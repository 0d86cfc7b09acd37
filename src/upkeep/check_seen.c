/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing in a mapped file, which is made anew, twice as large, when it is half full. Its blocks are allocated
 * before it is mapped: a write through a mapping that finds no room would end the process by a signal.
 */
#include "upkeep/check_seen.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

#define FIRST_CAPACITY 4096
#define LINKED (UINT64_C(1) << 63)
#define CORRUPT (UINT64_C(1) << 62)
#define GONE (UINT64_C(1) << 61)
#define TAKEN (UINT64_C(1) << 60)
#define SIZE_MASK (TAKEN - 1)

struct entry {
    uint64_t key[2];
    uint64_t state; /* flags, and the size */
};

struct check_seen {
    char *directory;
    struct entry *entries; /* NULL: it could not grow */
    size_t capacity;       /* a power of two */
    size_t count;
};

/* NULL if there is no room. */
static struct entry *map_entries(const char *directory, size_t capacity)
{
    off_t size = (off_t)(capacity * sizeof(struct entry));
    RS_AUTO(rs_fd_close) int fd = rs_fd_nameless(directory);
    if (fd < 0 || posix_fallocate(fd, 0, size) != 0)
        return NULL;
    void *map = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return map != MAP_FAILED ? map : NULL;
}

static void unmap(struct check_seen *s)
{
    if (s->entries != NULL)
        munmap(s->entries, s->capacity * sizeof(struct entry));
    s->entries = NULL;
}

struct check_seen *check_seen_new(const char *directory)
{
    struct entry *entries = directory != NULL ? map_entries(directory, FIRST_CAPACITY) : NULL;
    if (entries == NULL)
        return NULL;
    struct check_seen *s = rs_calloc(1, sizeof *s);
    s->directory = rs_strdup(directory);
    s->entries = entries;
    s->capacity = FIRST_CAPACITY;
    return s;
}

void check_seen_free(struct check_seen **seen)
{
    struct check_seen *s = rs_take(seen);
    if (s == NULL)
        return;
    unmap(s);
    free(s->directory);
    free(s);
}

/* A digest is evenly distributed as it is. */
static struct entry *slot(struct entry *entries, size_t capacity, const uint64_t key[2])
{
    for (size_t i = key[0] & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
        struct entry *e = &entries[i];
        if ((e->state & TAKEN) == 0 || (e->key[0] == key[0] && e->key[1] == key[1]))
            return e;
    }
}

static struct entry *find(const struct check_seen *s, const struct rs_digest *digest, uint64_t key[2])
{
    rs_str hex = rs_str_sub(rs_str_c(rs_digest_hex(digest)), 0, 32);
    if (s == NULL || s->entries == NULL || !rs_hex_decode(hex, key, 16))
        return NULL;
    key[1] ^= (uint64_t)digest->alg;
    return slot(s->entries, s->capacity, key);
}

static void grow(struct check_seen *s)
{
    size_t capacity = s->capacity * 2;
    struct entry *entries = map_entries(s->directory, capacity);
    for (size_t i = 0; entries != NULL && i < s->capacity; i++)
        if ((s->entries[i].state & TAKEN) != 0)
            *slot(entries, capacity, s->entries[i].key) = s->entries[i];
    unmap(s);
    s->entries = entries;
    s->capacity = capacity;
}

void check_seen_blob(struct check_seen *s, const struct rs_digest *digest, uint64_t size)
{
    uint64_t key[2];
    if (s == NULL)
        return;
    if (s->entries != NULL && s->count >= s->capacity / 2)
        grow(s);
    struct entry *e = find(s, digest, key);
    if (e == NULL)
        return;
    s->count += (e->state & TAKEN) == 0;
    e->key[0] = key[0];
    e->key[1] = key[1];
    e->state |= TAKEN | (size & SIZE_MASK);
}

static void mark(struct check_seen *s, const struct rs_digest *digest, uint64_t flag)
{
    uint64_t key[2];
    struct entry *e = find(s, digest, key);
    if (e != NULL && (e->state & TAKEN) != 0)
        e->state |= flag;
}

void check_seen_corrupt(struct check_seen *s, const struct rs_digest *digest)
{
    mark(s, digest, CORRUPT);
}

void check_seen_gone(struct check_seen *s, const struct rs_digest *digest)
{
    mark(s, digest, GONE);
}

void check_seen_linked(struct check_seen *s, const struct rs_digest *digest)
{
    mark(s, digest, LINKED);
}

bool check_seen_is_corrupt(const struct check_seen *s, const struct rs_digest *digest)
{
    uint64_t key[2];
    const struct entry *e = find(s, digest, key);
    return e != NULL && (e->state & CORRUPT) != 0 && (e->state & GONE) == 0;
}

bool check_seen_unlinked(const struct check_seen *s, uint64_t *out_blobs, uint64_t *out_bytes)
{
    if (s == NULL || s->entries == NULL)
        return false;
    *out_blobs = *out_bytes = 0;
    for (size_t i = 0; i < s->capacity; i++) {
        uint64_t state = s->entries[i].state;
        if ((state & TAKEN) == 0 || (state & (LINKED | GONE)) != 0)
            continue;
        ++*out_blobs;
        *out_bytes += state & SIZE_MASK;
    }
    return true;
}
