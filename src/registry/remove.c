/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which a remover does things is what makes it safe (docs/COLLECTION.md has the argument): the tombstones
 * are there before it looks at what it is about to take, and go when all of it is done. Nothing of the look is
 * remembered from one call to the next.
 *
 * Manifests go durably: after a crash a revision must not come back whose blobs are gone. A link that comes back
 * without its data is no blob, and data that come back without a link are garbage again: neither is synced.
 */
#include "registry/remove.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"
#include "layout/link.h"
#include "layout/paths.h"
#include "layout/walk.h"
#include "registry/presence.h"
#include "registry/registry_priv.h"
#include "registry/tombstone.h"

#define OPEN_MS 2000 /* others may look for an instant whether somebody has the lock */
#define PAUSE_MS 10
#define HANDS_MAX 8
#define HANDFUL 64     /* items that a hand takes at a time */
#define SET_BACK_MS 50 /* both clocks are as exact as the kernel's tick */

struct rs_remover {
    struct rs_registry *registry;
    struct rs_storage *storage;
    struct rs_storage_file *lock;
    int64_t own_s; /* the caller's grace */
    bool alone;    /* without servers none is kept */
    int64_t began_s;
    unsigned hands;   /* threads that remove */
    int64_t ahead_ms; /* how far the wall clock was ahead of the one that never jumps */
};

/* --- begin and end --- */

static rs_rc take_lock(struct rs_storage *storage, struct rs_storage_file **out, struct rs_err *err)
{
    int64_t end_ms = rs_mono_ms() + OPEN_MS;
    rs_rc rc = rs_presence_lock_remover(storage, out, err);
    while (rc == RS_E_BUSY && rs_mono_ms() < end_ms) {
        rs_sleep_ms(PAUSE_MS);
        rc = rs_presence_lock_remover(storage, out, err);
    }
    if (rc == RS_E_BUSY)
        return rs_err_set(err, RS_E_BUSY, "another collection is going on in this storage: wait until it has ended");
    return rc;
}

/* What the storage's own clock shows: that of what was written a moment ago. */
static rs_rc read_clock(struct rs_storage *storage, int64_t *out_s, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    RS_TRY(rs_storage_stat(storage, rs_path_collector(&path, RS_STR("grace")), &st, err));
    *out_s = st.mtime_s;
    return RS_OK;
}

static int64_t ahead_ms(void)
{
    return rs_wall_ms() - rs_mono_ms();
}

/* A clock that was set back makes what is renewed now look old: nothing may be judged by it any more. */
static rs_rc check_clock(const struct rs_remover *r, struct rs_err *err)
{
    int64_t back_ms = r->ahead_ms - ahead_ms();
    if (back_ms <= SET_BACK_MS)
        return RS_OK;
    return rs_err_set(err, RS_E_UNAVAILABLE,
                      "the clock was set back by %lld ms while the collection was going on: start it again",
                      (long long)back_ms);
}

/* Says the strictest, then counts, then says what holds: see WHO IS THERE in presence.c. The clock is read between the
 * two: a server that is not counted comes later, and renews its links later than that. */
static rs_rc agree(struct rs_remover *r, int64_t *out_grace_s, struct rs_err *err)
{
    size_t servers;
    int64_t theirs_s;
    RS_TRY(rs_presence_tell_grace(r->storage, r->alone ? 0 : r->own_s, err));
    RS_TRY(read_clock(r->storage, &r->began_s, err));
    RS_TRY(rs_presence_count(r->storage, &servers, &theirs_s, err));
    *out_grace_s = r->alone && servers == 0 ? 0 : RS_MAX(r->own_s, theirs_s);
    r->hands = *out_grace_s == 0 ? RS_MIN(rs_cores(), HANDS_MAX) : 1;
    return rs_presence_tell_grace(r->storage, *out_grace_s, err);
}

rs_rc rs_remover_begin_again(struct rs_remover *r, int64_t *out_grace_s, struct rs_err *err)
{
    int64_t before_s = r->began_s;
    while (r->began_s == before_s) {
        rs_sleep_ms(PAUSE_MS);
        RS_TRY(rs_presence_tell_grace(r->storage, r->alone ? 0 : r->own_s, err));
        RS_TRY(read_clock(r->storage, &r->began_s, err));
    }
    return agree(r, out_grace_s, err);
}

rs_rc rs_remover_open(struct rs_registry *registry, int64_t grace_s, bool alone, struct rs_remover **out,
                      int64_t *out_grace_s, struct rs_err *err)
{
    RS_AUTO(rs_remover_close) struct rs_remover *r = rs_calloc(1, sizeof *r);
    r->registry = registry;
    r->storage = registry->storage;
    r->own_s = grace_s;
    r->alone = alone;
    RS_TRY(rs_presence_ensure(registry->presence, err));
    RS_TRY(take_lock(r->storage, &r->lock, err));
    RS_TRY(rs_tombstones_lift(r->storage, err)); /* of one that was killed */
    r->ahead_ms = ahead_ms();
    RS_TRY(agree(r, out_grace_s, err));
    *out = rs_take(&r);
    return RS_OK;
}

int64_t rs_remover_began_s(const struct rs_remover *remover)
{
    return remover->began_s;
}

void rs_remover_close(struct rs_remover **remover)
{
    struct rs_remover *r = rs_take(remover);
    if (r == NULL)
        return;
    if (r->lock != NULL)
        rs_presence_forget_grace(r->storage);
    rs_storage_append_close(&r->lock);
    free(r);
}

/* --- the second look at blobs: is there a link or a revision of them anywhere? --- */

#define FILTER_BITS ((size_t)1 << 20)

/* An item of those to be taken, at its place in the order. */
struct slot {
    struct rs_removal *item;
};

struct look {
    struct rs_remover *remover;
    struct slot *sorted; /* by digest */
    size_t count;
    uint64_t *filter; /* tells most that are not among them at once: a bit for the first 20 bits of each digest */
    bool (*goes_on)(void *ctx);
    void *ctx;
    bool ended_early;
    rs_rc rc;
    struct rs_err *err;
};

static int compare(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    return strcmp(x->item->digest.text, y->item->digest.text);
}

static uint64_t *filter_word(const struct look *look, const struct rs_digest *digest, uint64_t *out_bit)
{
    uint8_t raw[3];
    bool decoded = rs_hex_decode((rs_str){rs_digest_hex(digest), 2 * sizeof raw}, raw, sizeof raw);
    RS_ASSERT(decoded);
    size_t n = ((size_t)raw[0] << 12 | (size_t)raw[1] << 4 | raw[2] >> 4) % FILTER_BITS;
    *out_bit = UINT64_C(1) << n % 64;
    return &look->filter[n / 64];
}

static struct rs_removal *find(const struct look *look, const struct rs_digest *digest)
{
    uint64_t bit;
    const uint64_t *word = filter_word(look, digest, &bit);
    if ((*word & bit) == 0)
        return NULL;
    struct rs_removal wanted = {.digest = *digest};
    const struct slot key = {&wanted};
    const struct slot *found = bsearch(&key, look->sorted, look->count, sizeof(struct slot), compare);
    return found != NULL ? found->item : NULL;
}

struct below {
    struct look *look;
    const char *path;
};

/* A directory alone is no link: registry:2's deletes leave it behind. */
static bool visit_digest(void *ctx, const struct rs_digest *digest)
{
    const struct below *below = ctx;
    struct look *look = below->look;
    struct rs_path path;
    struct rs_storage_stat st;
    struct rs_removal *found = find(look, digest);
    if (found == NULL || found->result == RS_REMOVAL_SPARED)
        return true;
    snprintf(path.z, sizeof path.z, "%s/%s/link", below->path, rs_digest_hex(digest));
    rs_rc rc = rs_storage_stat(look->remover->storage, path.z, &st, look->err);
    if (rc == RS_OK)
        found->result = RS_REMOVAL_SPARED;
    else if (rc != RS_E_NOT_FOUND)
        look->rc = rc;
    return look->rc == RS_OK;
}

static rs_rc look_below(struct look *look, const char *path, enum rs_hash_alg alg)
{
    struct below below = {look, path};
    rs_rc rc = rs_digests_walk(look->remover->storage, path, alg, visit_digest, &below, look->err);
    return look->rc != RS_OK ? look->rc : rc;
}

/* A link of another algorithm's digest may lead to a blob as well: registry:2's aliases. */
struct aliases {
    struct look *look;
    rs_str repository;
};

static bool visit_alias(void *ctx, const struct rs_digest *digest)
{
    struct aliases *a = ctx;
    struct rs_path path;
    struct rs_digest target;
    rs_path_layer_link(&path, a->repository, digest);
    rs_rc rc = rs_link_follow(a->look->remover->storage, path.z, digest, &target, a->look->err);
    struct rs_removal *found = rc == RS_OK ? find(a->look, &target) : NULL;
    if (found != NULL)
        found->result = RS_REMOVAL_SPARED;
    if (rc != RS_OK && rc != RS_E_NOT_FOUND)
        a->look->rc = rc;
    return a->look->rc == RS_OK;
}

static bool visit_repository(void *ctx, rs_str name, unsigned parts)
{
    struct look *look = ctx;
    struct rs_path path;
    struct aliases aliases = {look, name};
    for (int alg = 0; alg < RS_HASH_ALGS && look->rc == RS_OK; alg++) {
        if ((parts & RS_PART_LAYERS) != 0)
            look->rc = look_below(look, rs_path_layer_links(&path, name, (enum rs_hash_alg)alg), (enum rs_hash_alg)alg);
        if (look->rc == RS_OK && (parts & RS_PART_MANIFESTS) != 0)
            look->rc = look_below(look, rs_path_revisions(&path, name, (enum rs_hash_alg)alg), (enum rs_hash_alg)alg);
    }
    if (look->rc == RS_OK && (parts & RS_PART_LAYERS) != 0) {
        rs_path_layer_links(&path, name, RS_SHA512);
        rs_rc rc = rs_digests_walk(look->remover->storage, path.z, RS_SHA512, visit_alias, &aliases, look->err);
        look->rc = look->rc == RS_OK ? rc : look->rc;
    }
    look->ended_early = look->goes_on != NULL && !look->goes_on(look->ctx);
    return look->rc == RS_OK && !look->ended_early;
}

/* Those that are needed are SPARED afterwards. */
static rs_rc look_everywhere(struct look *look, struct rs_removal *items, size_t count)
{
    uint64_t bit;
    RS_AUTO(rs_free_ptr) struct slot *sorted = rs_calloc(count + 1, sizeof(struct slot));
    RS_AUTO(rs_free_ptr) uint64_t *filter = rs_calloc(FILTER_BITS / 64, sizeof(filter[0]));
    look->sorted = sorted;
    look->count = count;
    look->filter = filter;
    for (size_t i = 0; i < count; i++) {
        sorted[i].item = &items[i];
        uint64_t *word = filter_word(look, &items[i].digest, &bit);
        *word |= bit;
    }
    qsort(sorted, count, sizeof(struct slot), compare);
    rs_rc rc = rs_repositories_walk(look->remover->storage, visit_repository, look, look->err);
    return look->rc != RS_OK ? look->rc : rc;
}

/* --- taking --- */

/* Looks once more, and removes it with its directory. */
static rs_rc take_one(struct rs_remover *r, const char *path, int64_t before_s, struct rs_removal *item,
                      struct rs_storage_batch *batch, struct rs_err *err)
{
    struct rs_path parent;
    struct rs_storage_stat st;
    rs_rc rc = rs_storage_stat(r->storage, path, &st, err);
    if (rc == RS_OK && st.mtime_s >= before_s) {
        item->result = RS_REMOVAL_SPARED;
        return RS_OK;
    }
    if (rc != RS_OK && rc != RS_E_NOT_FOUND)
        return rc;
    RS_TRY(check_clock(r, err)); /* behind the look */
    if (rc == RS_OK)
        RS_TRY(rs_storage_remove(r->storage, path, NULL, err));
    parent.len = strlen(path);
    memcpy(parent.z, path, parent.len + 1);
    RS_TRY(rs_storage_prune(r->storage, rs_path_parent(&parent), 1, batch, err));
    item->result = rc == RS_OK ? RS_REMOVAL_DONE : RS_REMOVAL_MISSING;
    item->size = rc == RS_OK && item->kind == RS_REMOVE_BLOB ? st.size : 0;
    return RS_OK;
}

static const char *path_of(const struct rs_removal *item, struct rs_path *path)
{
    if (item->kind == RS_REMOVE_BLOB)
        return rs_path_blob(path, &item->digest);
    if (item->kind == RS_REMOVE_LINK)
        return rs_path_layer_link(path, item->repository, &item->digest);
    return rs_path_revision_link(path, item->repository, &item->digest);
}

/* --- by several hands: where nobody is served, every core removes --- */

struct crew {
    struct rs_remover *remover;
    int64_t before_s;
    struct rs_removal *items;
    size_t count;
    bool (*goes_on)(void *ctx); /* asked by the caller's thread alone */
    void *ctx;
    atomic_size_t next;
    atomic_bool is_over;
};

struct hand {
    struct crew *crew;
    bool is_callers;
    pthread_t thread;
    rs_rc rc;
    struct rs_err err;
};

static rs_rc take_handful(struct crew *crew, size_t begin, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct rs_path path;
    for (size_t i = begin; i < RS_MIN(begin + HANDFUL, crew->count); i++) {
        struct rs_removal *item = &crew->items[i];
        bool is_durable = item->kind == RS_REMOVE_MANIFEST;
        if (item->result == RS_REMOVAL_LEFT)
            RS_TRY(take_one(crew->remover, path_of(item, &path), crew->before_s, item, is_durable ? batch : NULL, err));
        if (item->kind == RS_REMOVE_MANIFEST && item->result == RS_REMOVAL_DONE) /* nobody asks for it any more */
            rs_storage_remove(crew->remover->storage, rs_path_pulled_at(&path, item->repository, &item->digest), NULL,
                              NULL);
    }
    return RS_OK;
}

static rs_rc take_until_over(struct crew *crew, bool is_callers, struct rs_err *err)
{
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    while (!atomic_load(&crew->is_over)) {
        size_t begin = atomic_fetch_add(&crew->next, HANDFUL);
        if (begin >= crew->count || (is_callers && crew->goes_on != NULL && !crew->goes_on(crew->ctx)))
            break;
        RS_TRY(take_handful(crew, begin, &batch, err));
    }
    return rs_storage_sync(crew->remover->storage, &batch, err);
}

static void *lend_hand(void *arg)
{
    struct hand *hand = arg;
    hand->rc = take_until_over(hand->crew, hand->is_callers, &hand->err);
    if (hand->rc != RS_OK || hand->is_callers)
        atomic_store(&hand->crew->is_over, true); /* the caller's ends when all is taken, or when it is told to */
    return NULL;
}

static rs_rc take_all(struct crew *crew, struct rs_err *err)
{
    struct hand hands[HANDS_MAX];
    unsigned count = 1, wanted = (unsigned)RS_MIN(crew->remover->hands, crew->count / HANDFUL);
    hands[0] = (struct hand){.crew = crew, .is_callers = true};
    for (; count < wanted; count++) {
        hands[count] = (struct hand){.crew = crew};
        if (rs_thread_start(&hands[count].thread, lend_hand, &hands[count]) != 0)
            break; /* fewer do it as well */
    }
    lend_hand(&hands[0]);
    rs_rc rc = RS_OK;
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            pthread_join(hands[i].thread, NULL);
        if (rc == RS_OK && hands[i].rc != RS_OK)
            rc = rs_err_set(err, hands[i].rc, "%s", hands[i].err.text);
    }
    return rc;
}

static rs_rc look_and_take(struct rs_remover *r, int64_t before_s, struct rs_removal *items, size_t count,
                           bool (*goes_on)(void *ctx), void *ctx, struct rs_err *err)
{
    struct look look = {.remover = r, .goes_on = goes_on, .ctx = ctx, .err = err};
    if (items[0].kind == RS_REMOVE_BLOB)
        RS_TRY(look_everywhere(&look, items, count));
    if (look.ended_early)
        return RS_OK;
    struct crew crew = {
        .remover = r, .before_s = before_s, .items = items, .count = count, .goes_on = goes_on, .ctx = ctx};
    return take_all(&crew, err);
}

/* Until every process must see the tombstones, and we what every process had written before it saw them. */
static bool settle(struct rs_remover *r, bool (*goes_on)(void *ctx), void *ctx)
{
    int64_t end_ms = rs_mono_ms() + 2 * rs_storage_lag_ms(r->storage);
    while (rs_mono_ms() < end_ms && (goes_on == NULL || goes_on(ctx)))
        rs_sleep_ms(PAUSE_MS);
    return rs_mono_ms() >= end_ms;
}

rs_rc rs_remover_take(struct rs_remover *r, int64_t before_s, struct rs_removal *items, size_t count,
                      bool (*goes_on)(void *ctx), void *ctx, struct rs_err *err)
{
    RS_ASSERT(count <= RS_REMOVALS_MAX);
    for (size_t i = 0; i < count; i++) {
        RS_ASSERT(items[i].kind == items[0].kind);
        items[i].result = RS_REMOVAL_LEFT;
        items[i].size = 0;
    }
    if (count == 0)
        return RS_OK;
    RS_TRY(rs_tombstones_put(r->storage, items, count, err));
    rs_rc rc = RS_OK;
    if (settle(r, goes_on, ctx))
        rc = look_and_take(r, before_s, items, count, goes_on, ctx, err);
    rs_quota_removed(r->registry, (rs_str){NULL, 0});
    rs_rc lifted = rs_tombstones_lift(r->storage, rc == RS_OK ? err : NULL);
    return rc != RS_OK ? rc : lifted;
}
