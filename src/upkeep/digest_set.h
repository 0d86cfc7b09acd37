/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a collection remembers of many digests: lists and sets of 32 bytes a digest, in memory while they are small,
 * else in files without names in the state directory. Private to upkeep; one thread at a time.
 */
#pragma once

#include "base/err.h"
#include "oci/digest.h"

/* The first 32 bytes of a digest: of SHA-512 as well, since nobody finds two of the same. */
struct rs_digest_key {
    uint64_t words[4];
};
void rs_digest_key_of(const struct rs_digest *digest, struct rs_digest_key *out);
int rs_digest_key_cmp(const void *a, const void *b);

/* Memory that grows; what is in it moves then. New bytes are zero. */
struct rs_region {
    const char *directory; /* borrowed; NULL: always in memory */
    unsigned char *base;
    size_t size;
    int fd; /* -1: in memory */
};
void rs_region_init(struct rs_region *region, const char *directory);
void rs_region_release(struct rs_region *region);
/* RS_E_STORAGE_FULL, RS_E_IO: the state directory cannot hold it; the region is as it was. */
rs_rc rs_region_grow(struct rs_region *region, size_t size, struct rs_err *err);

/* Items of one size in a row. */
struct rs_region_list {
    struct rs_region region;
    size_t item_size;
    size_t count;
};
void rs_region_list_init(struct rs_region_list *list, const char *directory, size_t item_size);
void rs_region_list_release(struct rs_region_list *list);
rs_rc rs_region_list_add(struct rs_region_list *list, const void *item, struct rs_err *err);
void *rs_region_list_at(const struct rs_region_list *list, size_t i);

struct rs_digest_set {
    struct rs_region region;
    size_t slots; /* a power of two */
    size_t count;
    uint64_t salt; /* names are strangers': they shall not choose where theirs lie */
    bool has_zero; /* the key of zeroes, which stands for an empty slot */
};
void rs_digest_set_init(struct rs_digest_set *set, const char *directory);
void rs_digest_set_release(struct rs_digest_set *set);
/* Forgets all. */
void rs_digest_set_clear(struct rs_digest_set *set);
bool rs_digest_set_has(const struct rs_digest_set *set, const struct rs_digest_key *key);
/* out_new may be NULL. */
rs_rc rs_digest_set_add(struct rs_digest_set *set, const struct rs_digest_key *key, bool *out_new, struct rs_err *err);
