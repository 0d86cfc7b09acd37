/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing; nothing is ever taken out. A file is read through a mapping and written with
 * pwrite, into blocks that it has already: see NOTES in children_read.c. What cannot be in a file is in memory.
 */
#include "registry/quota_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

#define FIRST_SLOTS 64
#define FILE_FROM 4096                         /* slots; fewer are in memory: 96 KiB */
#define SLOTS_MAX ((size_t)1024 * 1024 * 1024) /* 24 GiB */

struct slot {
    struct rs_quota_key key;
    uint64_t size_plus_1; /* 0: free */
};

struct rs_quota_table {
    const char *state_dir;
    struct slot *slots; /* a mapping; of a file: to be read only */
    size_t slot_count;  /* a power of two */
    int fd;             /* -1: in memory */
    uint64_t count;
    uint64_t bytes;
};

struct rs_quota_key rs_quota_key_of(const struct rs_digest *digest)
{
    struct rs_quota_key key;
    rs_str hex = {rs_digest_hex(digest), 2 * RS_QUOTA_KEY_SIZE};
    RS_ASSERT(rs_hex_decode(hex, key.bytes, sizeof key.bytes)); /* a digest is longer, and holds nothing else */
    return key;
}

bool rs_quota_key_eq(const struct rs_quota_key *a, const struct rs_quota_key *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static void release_slots(struct rs_quota_table *t)
{
    if (t->slots != NULL)
        munmap(t->slots, t->slot_count * sizeof *t->slots);
    t->slots = NULL;
    rs_fd_close(&t->fd);
}

/* In a file, or false. */
static bool map_file(struct rs_quota_table *t)
{
    size_t size = t->slot_count * sizeof *t->slots;
    t->fd = t->state_dir != NULL ? rs_fd_nameless(t->state_dir) : -1;
    if (t->fd < 0)
        return false;
    bool ready = ftruncate(t->fd, (off_t)size) == 0 && posix_fallocate(t->fd, 0, (off_t)size) == 0;
    void *map = ready ? mmap(NULL, size, PROT_READ, MAP_SHARED, t->fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED) {
        rs_fd_close(&t->fd);
        return false;
    }
    t->slots = map;
    return true;
}

static rs_rc map_memory(struct rs_quota_table *t, struct rs_err *err)
{
    size_t size = t->slot_count * sizeof *t->slots;
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return rs_err_set(err, RS_E_TOO_BIG,
                          "a list of %llu digests has room neither in the state directory nor in memory",
                          (unsigned long long)t->count);
    t->slots = map;
    return RS_OK;
}

static size_t find(const struct rs_quota_table *t, const struct rs_quota_key *key)
{
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof hash);
    for (size_t i = hash & (t->slot_count - 1);; i = (i + 1) & (t->slot_count - 1))
        if (t->slots[i].size_plus_1 == 0 || rs_quota_key_eq(&t->slots[i].key, key))
            return i;
}

static bool write_slot(struct rs_quota_table *t, const struct slot *slot)
{
    size_t i = find(t, &slot->key);
    if (t->fd >= 0)
        return pwrite(t->fd, slot, sizeof *slot, (off_t)(i * sizeof *slot)) == (ssize_t)sizeof *slot;
    t->slots[i] = *slot;
    return true;
}

/* False: the file did not take them. */
static bool copy_slots(struct rs_quota_table *to, const struct rs_quota_table *from)
{
    for (size_t i = 0; i < from->slot_count; i++)
        if (from->slots[i].size_plus_1 != 0 && !write_slot(to, &from->slots[i]))
            return false;
    return true;
}

static rs_rc resize(struct rs_quota_table *t, size_t slot_count, bool may_be_file, struct rs_err *err)
{
    struct rs_quota_table larger = {t->state_dir, NULL, slot_count, -1, t->count, t->bytes};
    if (slot_count > SLOTS_MAX)
        return rs_err_set(err, RS_E_TOO_BIG, "more than %zu digests", SLOTS_MAX / 2);
    bool in_file = may_be_file && slot_count >= FILE_FROM && map_file(&larger);
    if (in_file && !copy_slots(&larger, t)) {
        release_slots(&larger);
        in_file = false;
    }
    if (!in_file) {
        RS_TRY(map_memory(&larger, err));
        copy_slots(&larger, t);
    }
    release_slots(t);
    *t = larger;
    return RS_OK;
}

struct rs_quota_table *rs_quota_table_new(const char *state_dir)
{
    struct rs_quota_table *t = rs_calloc(1, sizeof *t);
    t->state_dir = state_dir;
    t->fd = -1;
    return t;
}

void rs_quota_table_free(struct rs_quota_table **table)
{
    struct rs_quota_table *t = rs_take(table);
    if (t == NULL)
        return;
    release_slots(t);
    free(t);
}

bool rs_quota_table_has(const struct rs_quota_table *t, const struct rs_quota_key *key)
{
    return t->slot_count > 0 && t->slots[find(t, key)].size_plus_1 != 0;
}

rs_rc rs_quota_table_add(struct rs_quota_table *t, const struct rs_quota_key *key, uint64_t size, struct rs_err *err)
{
    if (rs_quota_table_has(t, key))
        return RS_OK;
    if (t->count >= t->slot_count / 2)
        RS_TRY(resize(t, RS_MAX(2 * t->slot_count, FIRST_SLOTS), true, err));
    const struct slot slot = {*key, size + 1};
    if (!write_slot(t, &slot)) {
        RS_TRY(resize(t, t->slot_count, false, err));
        write_slot(t, &slot);
    }
    t->count++;
    t->bytes += size;
    return RS_OK;
}

uint64_t rs_quota_table_count(const struct rs_quota_table *t)
{
    return t->count;
}

uint64_t rs_quota_table_bytes(const struct rs_quota_table *t)
{
    return t->bytes;
}

rs_rc rs_quota_table_add_others(struct rs_quota_table *to, const struct rs_quota_table *from,
                                const struct rs_quota_table *without, struct rs_err *err)
{
    for (size_t i = 0; i < from->slot_count; i++) {
        const struct slot *slot = &from->slots[i];
        if (slot->size_plus_1 != 0 && !rs_quota_table_has(without, &slot->key))
            RS_TRY(rs_quota_table_add(to, &slot->key, slot->size_plus_1 - 1, err));
    }
    return RS_OK;
}
