/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocks of a file are had before it is mapped: a write through the mapping that finds none would end the process.
 * The set is a table of keys with open addresses, at most two thirds full.
 */
#include "upkeep/digest_set.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"

#define IN_MEMORY (1u << 20) /* bytes; more goes into a file */
#define FIRST_SLOTS 256
#define FIRST_SIZE 4096

/* --- keys --- */

void rs_digest_key_of(const struct rs_digest *digest, struct rs_digest_key *out)
{
    bool decoded = rs_hex_decode((rs_str){rs_digest_hex(digest), 2 * sizeof *out}, out, sizeof *out);
    RS_ASSERT(decoded);
}

int rs_digest_key_cmp(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct rs_digest_key));
}

static bool key_eq(const struct rs_digest_key *a, const struct rs_digest_key *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool key_is_zero(const struct rs_digest_key *key)
{
    return (key->words[0] | key->words[1] | key->words[2] | key->words[3]) == 0;
}

/* --- regions --- */

void rs_region_init(struct rs_region *region, const char *directory)
{
    *region = (struct rs_region){.directory = directory, .fd = -1};
}

void rs_region_release(struct rs_region *region)
{
    if (region->fd >= 0)
        munmap(region->base, region->size);
    else
        free(region->base);
    rs_fd_close(&region->fd);
    rs_region_init(region, region->directory);
}

static rs_rc cannot(const struct rs_region *region, int errnum, struct rs_err *err)
{
    return rs_err_sys(err, errnum, "the state directory %s cannot hold what the collection has to remember",
                      region->directory);
}

static rs_rc reserve(const struct rs_region *region, int fd, size_t size, struct rs_err *err)
{
    int errnum = posix_fallocate(fd, 0, (off_t)size);
    return errnum == 0 ? RS_OK : cannot(region, errnum, err);
}

static rs_rc move_to_file(struct rs_region *region, size_t size, struct rs_err *err)
{
    RS_AUTO(rs_fd_close) int fd = rs_fd_nameless(region->directory);
    if (fd < 0)
        return cannot(region, errno, err);
    RS_TRY(reserve(region, fd, size, err));
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return cannot(region, errno, err);
    if (region->size > 0)
        memcpy(base, region->base, region->size);
    free(region->base);
    region->base = base;
    region->size = size;
    region->fd = rs_fd_take(&fd);
    return RS_OK;
}

rs_rc rs_region_grow(struct rs_region *region, size_t size, struct rs_err *err)
{
    if (size <= region->size)
        return RS_OK;
    if (region->fd < 0 && (size <= IN_MEMORY || region->directory == NULL)) {
        region->base = rs_realloc(region->base, size);
        memset(region->base + region->size, 0, size - region->size);
        region->size = size;
        return RS_OK;
    }
    if (region->fd < 0)
        return move_to_file(region, size, err);
    RS_TRY(reserve(region, region->fd, size, err));
    void *base = mremap(region->base, region->size, size, MREMAP_MAYMOVE);
    if (base == MAP_FAILED)
        return cannot(region, errno, err);
    region->base = base;
    region->size = size;
    return RS_OK;
}

/* --- lists --- */

void rs_region_list_init(struct rs_region_list *list, const char *directory, size_t item_size)
{
    *list = (struct rs_region_list){.item_size = item_size};
    rs_region_init(&list->region, directory);
}

void rs_region_list_release(struct rs_region_list *list)
{
    rs_region_release(&list->region);
    list->count = 0;
}

rs_rc rs_region_list_add(struct rs_region_list *list, const void *item, struct rs_err *err)
{
    size_t used = list->count * list->item_size;
    if (used + list->item_size > list->region.size)
        RS_TRY(rs_region_grow(&list->region, RS_MAX(2 * list->region.size, FIRST_SIZE), err));
    memcpy(list->region.base + used, item, list->item_size);
    list->count++;
    return RS_OK;
}

void *rs_region_list_at(const struct rs_region_list *list, size_t i)
{
    RS_ASSERT(i < list->count);
    return list->region.base + i * list->item_size;
}

/* --- sets --- */

void rs_digest_set_init(struct rs_digest_set *set, const char *directory)
{
    *set = (struct rs_digest_set){0};
    rs_region_init(&set->region, directory);
    rs_random(&set->salt, sizeof set->salt);
}

void rs_digest_set_release(struct rs_digest_set *set)
{
    rs_region_release(&set->region);
    set->slots = 0;
    set->count = 0;
    set->has_zero = false;
}

void rs_digest_set_clear(struct rs_digest_set *set)
{
    if (set->region.fd >= 0)
        rs_digest_set_release(set);
    else if (set->count > 0)
        memset(set->region.base, 0, set->slots * sizeof(struct rs_digest_key));
    set->count = 0;
    set->has_zero = false;
}

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static size_t slot_of(const struct rs_digest_set *set, const struct rs_digest_key *key)
{
    uint64_t h = set->salt;
    for (size_t i = 0; i < RS_COUNT(key->words); i++)
        h = mix(h, key->words[i] ^ set->salt);
    return (size_t)h & (set->slots - 1);
}

static struct rs_digest_key *keys(const struct rs_digest_set *set)
{
    return (struct rs_digest_key *)(void *)set->region.base;
}

/* Where it is, or where it would be. */
static struct rs_digest_key *find(const struct rs_digest_set *set, const struct rs_digest_key *key)
{
    size_t i = slot_of(set, key);
    while (!key_is_zero(&keys(set)[i]) && !key_eq(&keys(set)[i], key))
        i = (i + 1) & (set->slots - 1);
    return &keys(set)[i];
}

bool rs_digest_set_has(const struct rs_digest_set *set, const struct rs_digest_key *key)
{
    if (key_is_zero(key))
        return set->has_zero;
    return set->slots > 0 && !key_is_zero(find(set, key));
}

/* Into a new region of twice the size. */
static rs_rc rehash(struct rs_digest_set *set, struct rs_err *err)
{
    struct rs_digest_set larger = *set;
    larger.slots = RS_MAX(2 * set->slots, FIRST_SLOTS);
    rs_region_init(&larger.region, set->region.directory);
    RS_TRY(rs_region_grow(&larger.region, larger.slots * sizeof(struct rs_digest_key), err));
    for (size_t i = 0; i < set->slots; i++)
        if (!key_is_zero(&keys(set)[i]))
            *find(&larger, &keys(set)[i]) = keys(set)[i];
    rs_region_release(&set->region);
    *set = larger;
    return RS_OK;
}

rs_rc rs_digest_set_add(struct rs_digest_set *set, const struct rs_digest_key *key, bool *out_new, struct rs_err *err)
{
    if (3 * (set->count + 1) > 2 * set->slots)
        RS_TRY(rehash(set, err));
    struct rs_digest_key *slot = key_is_zero(key) ? NULL : find(set, key);
    bool is_new = slot != NULL ? key_is_zero(slot) : !set->has_zero;
    if (slot != NULL)
        *slot = *key;
    else
        set->has_zero = true;
    set->count += is_new;
    if (out_new != NULL)
        *out_new = is_new;
    return RS_OK;
}
