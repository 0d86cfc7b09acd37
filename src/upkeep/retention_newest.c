/* SPDX-License-Identifier: Apache-2.0 */
/* A heap whose first element is the oldest of the newest, then a sorted array. */
#include <stdlib.h>

#include "base/mem.h"
#include "upkeep/retention_priv.h"

void rs_newest_init(struct rs_newest *n, uint64_t limit)
{
    RS_ASSERT(limit <= RS_CONFIG_KEEP_LAST_MAX);
    *n = (struct rs_newest){.limit = limit};
    if (limit > 0)
        n->tags = rs_calloc(limit, sizeof *n->tags); /* pages that are not used cost nothing */
}

void rs_newest_release(struct rs_newest *n)
{
    rs_free_ptr(&n->tags);
}

static int compare(int64_t a_s, rs_str a, int64_t b_s, rs_str b)
{
    return a_s != b_s ? (a_s > b_s) - (a_s < b_s) : rs_str_cmp(a, b);
}

static rs_str name_of(const struct rs_newest_tag *tag)
{
    return (rs_str){tag->name, tag->len};
}

static int compare_tags(const struct rs_newest_tag *a, const struct rs_newest_tag *b)
{
    return compare(a->pushed_s, name_of(a), b->pushed_s, name_of(b));
}

static void swap(struct rs_newest *n, uint64_t a, uint64_t b)
{
    struct rs_newest_tag tag = n->tags[a];
    n->tags[a] = n->tags[b];
    n->tags[b] = tag;
}

static void rise(struct rs_newest *n, uint64_t at)
{
    for (; at > 0 && compare_tags(&n->tags[at], &n->tags[(at - 1) / 2]) < 0; at = (at - 1) / 2)
        swap(n, at, (at - 1) / 2);
}

static void sink(struct rs_newest *n, uint64_t at)
{
    for (;;) {
        uint64_t least = at;
        for (uint64_t child = 2 * at + 1; child <= 2 * at + 2 && child < n->count; child++)
            if (compare_tags(&n->tags[child], &n->tags[least]) < 0)
                least = child;
        if (least == at)
            return;
        swap(n, at, least);
        at = least;
    }
}

static void set(struct rs_newest_tag *to, rs_str tag, int64_t pushed_s)
{
    RS_ASSERT(tag.len <= sizeof to->name);
    to->pushed_s = pushed_s;
    to->len = (unsigned char)tag.len;
    memcpy(to->name, tag.ptr, tag.len);
}

void rs_newest_add(struct rs_newest *n, rs_str tag, int64_t pushed_s)
{
    n->seen++;
    if (n->count < n->limit) {
        set(&n->tags[n->count], tag, pushed_s);
        rise(n, n->count++);
    } else if (n->limit > 0 && compare(pushed_s, tag, n->tags[0].pushed_s, name_of(&n->tags[0])) > 0) {
        set(&n->tags[0], tag, pushed_s);
        sink(n, 0);
    }
}

static int compare_newest_first(const void *a, const void *b)
{
    return compare_tags(b, a);
}

void rs_newest_sort(struct rs_newest *n)
{
    if (n->count > 0)
        qsort(n->tags, n->count, sizeof *n->tags, compare_newest_first);
}

uint64_t rs_newest_number(const struct rs_newest *n, rs_str tag, int64_t pushed_s)
{
    uint64_t low = 0, high = n->count; /* how many are newer */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (compare(n->tags[middle].pushed_s, name_of(&n->tags[middle]), pushed_s, tag) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n->limit ? low + 1 : 0;
}
