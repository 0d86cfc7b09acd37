/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BOOKS. What a quota's repositories link is, at any moment, what the last count found (`base`, which nobody changes),
 * and what our pushes have linked since that count began (`since`); beside it stands what pushes have taken and not
 * linked yet (`pending`). A push takes its room under the lock before it makes its link, so that the sum never exceeds
 * the size, however many come at once, and gives it back if there is no link in the end.
 *
 * A count is a walk without the lock, while pushes go on. A link that was settled before the count began is found by
 * it; one that is settled meanwhile is written down for it (`next`, which then becomes `since`); one that is settled
 * later is pending when it ends. So no link of this process is ever missing. Nothing is taken off one by one: a blob
 * that one repository loses may be in another. Removals are told (rs_quota_removed), and what they freed is found by
 * the next count.
 *
 * WHEN THERE IS A COUNT. At the first push, which waits. Then, for what other processes have linked: a push that finds
 * the last one half a minute old begins another one and goes on; one that finds it a minute old waits. Before a
 * refusal, for others may have removed something: if a second has passed since the last count; if this process has
 * removed something, at once, for which the push waits a moment. A count never begins before ten times the time has
 * passed that the last one took, so that counting takes a tenth of the time at most; if that is longer than half a
 * minute, a count is believed twice as long. Counts run in a thread of their own, for a walk needs a large stack. If
 * one fails, pushes wait for the next one, and fail with it.
 *
 * WHAT FOLLOWS. With one process the size is never exceeded. With several, each may exceed it by what the others link
 * in a minute (in twenty times the time of a count, where that is longer). A push may be refused though others have
 * made room within the last second (ten times the time of a count). A smaller size in the configuration refuses what is
 * new, and removes nothing.
 */
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/glob.h"
#include "base/log.h"
#include "base/mem.h"
#include "layout/paths.h"
#include "registry/quota_priv.h"
#include "registry/registry_priv.h"

#define RENEW_MS 30000      /* a count is so old when another one begins, */
#define RECENT_MS 60000     /* and so old when pushes wait for that */
#define REFUSAL_MS 1000     /* so old it may be at a refusal */
#define RATIO 10            /* counting takes a tenth of the time */
#define PATIENCE_MS 1000    /* what a push waits for a count to be allowed that may spare it a refusal */
#define WAIT_MS 60000       /* and for one that runs */
#define SHOWN_BYTES_MAX 128 /* of patterns */
#define ATTEMPTS 3          /* of counts before a refusal */

struct rs_quota_claim {
    enum rs_quota_kind kind;
    struct rs_digest digest;
    size_t repository_len;
    char repository[RS_NAME_MAX + 1];
    size_t count; /* of nodes that are in their groups */
    struct quota_node nodes[];
};

/* --- making --- */

static char *show(const struct rs_quota_rule *rule)
{
    struct rs_buf text;
    rs_buf_init(&text, 4 * RS_GLOB_MAX);
    rs_policy_show(&text, rule->repositories, rule->repository_count);
    char *shown = rs_str_dup(rs_str_sub(rs_buf_str(&text), 0, SHOWN_BYTES_MAX));
    rs_buf_release(&text);
    return shown;
}

/* The value of a metric's label: the patterns, and the place where others have the same. */
static enum rs_value label_of(const struct rs_quotas *quotas, const struct quota_group *group)
{
    char text[SHOWN_BYTES_MAX + 32];
    for (const struct quota_group *g = quotas->groups; g < group; g++)
        if (strcmp(g->shown, group->shown) == 0) {
            int len = snprintf(text, sizeof text, "%s (%zu)", group->shown, group->index);
            return rs_metrics_value(RS_LABEL_QUOTA, (rs_str){text, (size_t)len});
        }
    return rs_metrics_value(RS_LABEL_QUOTA, rs_str_c(group->shown));
}

struct rs_quotas *rs_quotas_new(const struct rs_registry_config *config, struct rs_storage *storage)
{
    if (config->quota_count == 0)
        return NULL;
    struct rs_quotas *quotas = rs_calloc(1, sizeof *quotas + config->quota_count * sizeof *quotas->groups);
    for (size_t i = 0; i < config->quota_count; i++) {
        struct quota_group *g = &quotas->groups[i];
        g->storage = storage;
        g->state_dir = config->state_dir;
        g->rule = config->quotas[i];
        g->index = i;
        g->shown = show(&g->rule);
        g->below = quota_below(g->rule.repositories, g->rule.repository_count);
        g->label = label_of(quotas, g);
        rs_mutex_init(&g->lock, RS_LOCK_QUOTA);
        rs_cond_init(&g->changed);
        quotas->count++;
    }
    return quotas;
}

void rs_quotas_free(struct rs_quotas **quotas)
{
    if (*quotas == NULL)
        return;
    for (size_t i = 0; i < (*quotas)->count; i++) {
        struct quota_group *g = &(*quotas)->groups[i];
        atomic_store(&g->stopping, true);
        if (g->has_counter)
            pthread_join(g->counter, NULL);
        rs_quota_table_free(&g->base);
        rs_quota_table_free(&g->since);
        rs_mutex_release(&g->lock);
        pthread_cond_destroy(&g->changed);
        free(g->shown);
        free(g->below);
    }
    free(rs_take(quotas));
}

/* --- the books --- */

static bool has_locked(const struct quota_group *g, const struct rs_quota_key *key)
{
    return rs_quota_table_has(g->base, key) || rs_quota_table_has(g->since, key);
}

static struct quota_node *find_pending_locked(const struct quota_group *g, const struct rs_quota_key *key)
{
    for (struct quota_node *n = g->pending; n != NULL; n = n->next)
        if (rs_quota_key_eq(&n->key, key))
            return n;
    return NULL;
}

static uint64_t used_locked(const struct quota_group *g)
{
    return rs_quota_table_bytes(g->base) + rs_quota_table_bytes(g->since) + g->pending_bytes;
}

static bool is_free_locked(const struct quota_group *g, const struct rs_quota_key *key)
{
    return key != NULL && (has_locked(g, key) || find_pending_locked(g, key) != NULL);
}

static bool fits_locked(const struct quota_group *g, const struct rs_quota_key *key, uint64_t size)
{
    uint64_t used = used_locked(g);
    return (used <= g->rule.size && size <= g->rule.size - used) || is_free_locked(g, key);
}

static void take_locked(struct quota_group *g, struct quota_node *node)
{
    node->charged = !is_free_locked(g, &node->key);
    g->pending_bytes += node->charged ? node->size : 0;
    node->next = g->pending;
    g->pending = node;
}

/* What has no room in our tables is found by the next count, which must then come first. */
static void keep_locked(struct quota_group *g, const struct quota_node *node)
{
    rs_rc rc = RS_OK;
    if (!rs_quota_table_has(g->base, &node->key))
        rc = rs_quota_table_add(g->since, &node->key, node->size, NULL);
    if (rc == RS_OK && g->next != NULL)
        rc = rs_quota_table_add(g->next, &node->key, node->size, NULL);
    if (rc != RS_OK)
        g->began_ms = g->ended_ms = INT64_MIN / 2;
}

static void unlink_locked(struct quota_group *g, struct quota_node *node)
{
    struct quota_node **at = &g->pending;
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
}

static void discharge_locked(struct quota_group *g, struct quota_node *node)
{
    g->pending_bytes -= node->charged ? node->size : 0;
    node->charged = false;
}

/* Of several pushes of one blob, the first that is done puts it into the tables, and none counts any longer; if the one
 * that counts has failed, another one does. */
static void settle_locked(struct quota_group *g, struct quota_node *node, bool kept)
{
    unlink_locked(g, node);
    struct quota_node *other = find_pending_locked(g, &node->key);
    if (kept)
        keep_locked(g, node);
    for (struct quota_node *n = other; kept && n != NULL; n = n->next)
        if (rs_quota_key_eq(&n->key, &node->key))
            discharge_locked(g, n);
    if (!kept && node->charged && other != NULL) {
        other->charged = true;
        g->pending_bytes += other->size;
    }
    discharge_locked(g, node);
}

/* --- counting --- */

/* Against new books. */
static void charge_again_locked(struct quota_group *g)
{
    struct quota_node *nodes = rs_take(&g->pending);
    g->pending_bytes = 0;
    while (nodes != NULL) {
        struct quota_node *node = nodes;
        nodes = node->next;
        take_locked(g, node);
    }
}

static rs_rc use_locked(struct quota_group *g, struct rs_err *err)
{
    struct rs_quota_table *since = rs_quota_table_new(g->state_dir);
    rs_rc rc = rs_quota_table_add_others(since, g->next, g->found, err);
    if (rc != RS_OK) {
        rs_quota_table_free(&since);
        return rc;
    }
    rs_quota_table_free(&g->base);
    rs_quota_table_free(&g->since);
    g->base = rs_take(&g->found);
    g->since = since;
    charge_again_locked(g);
    g->removals_counted = g->running.removals;
    g->began_ms = g->running.began_ms;
    g->began_s = g->running.began_s;
    g->ended_ms = rs_mono_ms();
    return RS_OK;
}

static void end_count_locked(struct quota_group *g)
{
    rs_quota_table_free(&g->found);
    rs_quota_table_free(&g->next);
    g->counts++;
    pthread_cond_broadcast(&g->changed);
}

static void *count(void *arg)
{
    struct quota_group *g = arg;
    struct rs_err err = {0};
    rs_rc rc = quota_count(g, g->found, &err);
    rs_mutex_lock(&g->lock);
    if (rc == RS_OK)
        rc = use_locked(g, &err);
    if (rc != RS_OK)
        rs_err_wrap(&err, "counting what the quota of %s holds", g->shown);
    g->counted_rc = rc;
    g->counted_err = err;
    end_count_locked(g);
    rs_mutex_unlock(&g->lock);
    return NULL;
}

/* A thread that has ended its count needs nothing any more. */
static void join_locked(struct quota_group *g)
{
    if (g->has_counter)
        pthread_join(g->counter, NULL);
    g->has_counter = false;
}

/* None runs. */
static rs_rc begin_count_locked(struct quota_group *g, struct rs_err *err)
{
    join_locked(g);
    g->running.removals = g->removals;
    g->running.began_ms = rs_mono_ms();
    g->running.began_s = rs_wall_s();
    g->found = rs_quota_table_new(g->state_dir);
    g->next = rs_quota_table_new(g->state_dir);
    int errnum = pthread_create(&g->counter, NULL, count, g);
    g->has_counter = errnum == 0;
    if (errnum == 0)
        return RS_OK;
    end_count_locked(g);
    return rs_err_set(err, RS_E_EXHAUSTED, "no thread to count what the quota of %s holds: %s", g->shown,
                      strerrordesc_np(errnum));
}

static rs_rc wait_locked(struct quota_group *g, struct rs_err *err)
{
    int64_t end = rs_mono_ms() + WAIT_MS;
    while (g->next != NULL)
        if (!rs_cond_wait_ms(&g->changed, &g->lock, end - rs_mono_ms()) && g->next != NULL)
            return rs_err_set(err, RS_E_UNAVAILABLE, "what the quota of %s holds is still being counted: try again",
                              g->shown);
    return RS_OK;
}

/* Of the one that runs, or of a new one. */
static rs_rc await_count_locked(struct quota_group *g, struct rs_err *err)
{
    if (g->next == NULL)
        RS_TRY(begin_count_locked(g, err));
    RS_TRY(wait_locked(g, err));
    if (g->counted_rc != RS_OK && err != NULL)
        *err = g->counted_err;
    return g->counted_rc;
}

/* What the last count asks for. */
static int64_t pause_ms(const struct quota_group *g)
{
    return RATIO * (g->ended_ms - g->began_ms);
}

/* Afterwards there is a count that can be believed. */
static rs_rc refresh_locked(struct quota_group *g, struct rs_err *err)
{
    const int64_t now = rs_mono_ms(), pause = pause_ms(g);
    if (g->base == NULL || now - g->began_ms >= RS_MAX(RECENT_MS, 2 * pause))
        return await_count_locked(g, err);
    if (now - g->began_ms < RENEW_MS || now - g->ended_ms < pause)
        return RS_OK;
    if (g->counted_rc != RS_OK)
        return await_count_locked(g, err);
    return g->next == NULL ? begin_count_locked(g, err) : RS_OK;
}

/* Until a count is allowed, or another thread has made one. */
static void be_patient_locked(struct quota_group *g, int64_t ms)
{
    const uint64_t counts = g->counts;
    const int64_t end = rs_mono_ms() + ms;
    while (g->counts == counts && g->next == NULL && rs_mono_ms() < end)
        rs_cond_wait_ms(&g->changed, &g->lock, end - rs_mono_ms());
}

/* Before a refusal: counts anew if that may find room, see WHEN THERE IS A COUNT. *out_counted: somebody has. */
static rs_rc count_before_refusal_locked(struct quota_group *g, bool *out_counted, struct rs_err *err)
{
    const uint64_t counts = g->counts;
    const bool removed = g->removals != g->removals_counted;
    const int64_t left = g->ended_ms + RS_MAX(pause_ms(g), removed ? 0 : REFUSAL_MS) - rs_mono_ms();
    const bool may_count = left <= (removed ? PATIENCE_MS : 0);
    if (may_count && left > 0)
        be_patient_locked(g, left);
    if (g->next != NULL || (may_count && g->counts == counts))
        RS_TRY(await_count_locked(g, err));
    *out_counted = g->counts != counts;
    return RS_OK;
}

/* --- refusing --- */

static rs_rc refuse(struct quota_group *g, const struct rs_digest *digest, uint64_t used, uint64_t size,
                    struct rs_err *err)
{
    char what[RS_DIGEST_TEXT_MAX + 16] = "this upload";
    if (digest != NULL)
        snprintf(what, sizeof what, "%s", digest->text);
    rs_metrics_add(RS_METRIC_DENIED, RS_LABELS(RS_VALUE_DENIAL_QUOTA), 1);
    return rs_err_set(err, RS_E_DENIED,
                      "the quota of %s is used up: %llu of its %llu bytes are in use, and %s needs %llu more: delete "
                      "what is not needed any longer, or have roadstead.quotas[%zu] raised",
                      g->shown, (unsigned long long)used, (unsigned long long)g->rule.size, what,
                      (unsigned long long)size, g->index);
}

/* Whether it fits, after a count if need be; with a node the room is taken. */
static rs_rc enter_locked(struct quota_group *g, const struct rs_digest *digest, uint64_t size, struct quota_node *node,
                          struct rs_err *err)
{
    struct rs_quota_key key = {0};
    if (digest != NULL)
        key = rs_quota_key_of(digest);
    RS_TRY(refresh_locked(g, err));
    bool counted = true;
    for (int attempt = 0; counted && attempt <= ATTEMPTS; attempt++) {
        if (fits_locked(g, digest != NULL ? &key : NULL, size)) {
            if (node != NULL)
                take_locked(g, node);
            return RS_OK;
        }
        RS_TRY(count_before_refusal_locked(g, &counted, err));
    }
    g->refused++;
    return refuse(g, digest, used_locked(g), size, err);
}

static rs_rc enter(struct quota_group *g, const struct rs_digest *digest, uint64_t size, struct quota_node *node,
                   struct rs_err *err)
{
    rs_mutex_lock(&g->lock);
    rs_rc rc = enter_locked(g, digest, size, node, err);
    rs_mutex_unlock(&g->lock);
    return rc;
}

/* The next group that the repository falls under, after `before` (NULL: the first one); NULL: there is none. */
static struct quota_group *next_group(struct rs_quotas *quotas, rs_str repository, const struct quota_group *before)
{
    if (quotas == NULL)
        return NULL;
    for (size_t i = before != NULL ? before->index + 1 : 0; i < quotas->count; i++)
        if (quota_group_has(&quotas->groups[i], repository))
            return &quotas->groups[i];
    return NULL;
}

/* --- for pushes --- */

static struct rs_quota_claim *claim_new(struct rs_quotas *quotas, rs_str repository)
{
    size_t count = 0;
    for (const struct quota_group *g = NULL; (g = next_group(quotas, repository, g)) != NULL;)
        count++;
    if (count == 0)
        return NULL;
    struct rs_quota_claim *claim = rs_calloc(1, sizeof *claim + count * sizeof *claim->nodes);
    claim->repository_len = repository.len;
    RS_ASSERT(rs_str_copy_z(repository, claim->repository, sizeof claim->repository));
    return claim;
}

static void leave(struct rs_quota_claim **claim, bool kept)
{
    for (size_t i = 0; i < (*claim)->count; i++) {
        struct quota_node *node = &(*claim)->nodes[i];
        rs_mutex_lock(&node->group->lock);
        settle_locked(node->group, node, kept);
        rs_mutex_unlock(&node->group->lock);
    }
    free(rs_take(claim));
}

rs_rc rs_quota_take(struct rs_registry *registry, rs_str repository, enum rs_quota_kind kind,
                    const struct rs_digest *digest, uint64_t size, struct rs_quota_claim **out, struct rs_err *err)
{
    struct rs_quotas *quotas = registry->quotas;
    *out = NULL;
    struct rs_quota_claim *claim = quotas != NULL ? claim_new(quotas, repository) : NULL;
    if (claim == NULL)
        return RS_OK;
    claim->kind = kind;
    claim->digest = *digest;
    for (struct quota_group *g = NULL; (g = next_group(quotas, repository, g)) != NULL;) {
        struct quota_node *node = &claim->nodes[claim->count];
        *node = (struct quota_node){.group = g, .key = rs_quota_key_of(digest), .size = size};
        rs_rc rc = enter(g, digest, size, node, err);
        if (rc != RS_OK) {
            leave(&claim, false);
            return rc;
        }
        claim->count++;
    }
    *out = claim;
    return RS_OK;
}

/* In doubt it is there: the next count knows. */
static bool is_linked(struct rs_storage *storage, const struct rs_quota_claim *claim)
{
    struct rs_path path;
    struct rs_storage_stat st;
    rs_str repository = {claim->repository, claim->repository_len};
    if (claim->kind == RS_QUOTA_REVISION)
        rs_path_revision_link(&path, repository, &claim->digest);
    else
        rs_path_layer_link(&path, repository, &claim->digest);
    if (rs_storage_stat(storage, path.z, &st, NULL) == RS_E_NOT_FOUND)
        return false;
    return rs_storage_stat(storage, rs_path_blob(&path, &claim->digest), &st, NULL) != RS_E_NOT_FOUND;
}

void rs_quota_settle(struct rs_registry *registry, struct rs_quota_claim **claim, bool made)
{
    if (*claim != NULL)
        leave(claim, made || is_linked(registry->storage, *claim));
}

rs_rc rs_quota_check(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest, uint64_t size,
                     struct rs_err *err)
{
    for (struct quota_group *g = NULL; (g = next_group(registry->quotas, repository, g)) != NULL;)
        RS_TRY(enter(g, digest, size, NULL, err));
    return RS_OK;
}

static struct quota_group *smallest(const struct rs_registry *registry, rs_str repository)
{
    struct quota_group *least = NULL;
    for (struct quota_group *g = NULL; (g = next_group(registry->quotas, repository, g)) != NULL;)
        if (least == NULL || g->rule.size < least->rule.size)
            least = g;
    return least;
}

uint64_t rs_quota_limit(struct rs_registry *registry, rs_str repository)
{
    const struct quota_group *g = smallest(registry, repository);
    return g != NULL ? g->rule.size : UINT64_MAX;
}

rs_rc rs_quota_refuse(struct rs_registry *registry, rs_str repository, struct rs_err *err)
{
    struct quota_group *g = smallest(registry, repository);
    RS_ASSERT(g != NULL);
    rs_mutex_lock(&g->lock);
    g->refused++;
    rs_mutex_unlock(&g->lock);
    rs_metrics_add(RS_METRIC_DENIED, RS_LABELS(RS_VALUE_DENIAL_QUOTA), 1);
    return rs_err_set(err, RS_E_DENIED,
                      "the upload is larger than the whole quota of %s, which is %llu bytes (roadstead.quotas[%zu])",
                      g->shown, (unsigned long long)g->rule.size, g->index);
}

void rs_quota_removed(struct rs_registry *registry, rs_str repository)
{
    struct rs_quotas *quotas = registry->quotas;
    for (size_t i = 0; quotas != NULL && i < quotas->count; i++) {
        struct quota_group *g = &quotas->groups[i];
        if (repository.len > 0 && !quota_group_has(g, repository))
            continue;
        rs_mutex_lock(&g->lock);
        g->removals++;
        rs_mutex_unlock(&g->lock);
    }
}

/* --- for operators --- */

void rs_quota_measure(struct rs_quotas *quotas)
{
    for (size_t i = 0; quotas != NULL && i < quotas->count; i++) {
        struct quota_group *g = &quotas->groups[i];
        rs_metrics_set(RS_METRIC_QUOTA_SIZE, RS_LABELS(g->label), g->rule.size);
        rs_mutex_lock(&g->lock);
        bool known = g->base != NULL;
        uint64_t used = known ? used_locked(g) : 0, refused = g->refused;
        rs_mutex_unlock(&g->lock);
        rs_metrics_set(RS_METRIC_QUOTA_REFUSED, RS_LABELS(g->label), refused);
        if (known)
            rs_metrics_set(RS_METRIC_QUOTA_USED, RS_LABELS(g->label), used);
    }
}

/* As it stands in the books now; blobs are counted without those that are being pushed. */
struct usage {
    uint64_t used;
    uint64_t blobs;
    uint64_t refused;
    int64_t counted_s;
};

static rs_rc look(struct quota_group *g, struct usage *out, struct rs_err *err)
{
    rs_mutex_lock(&g->lock);
    rs_rc rc = refresh_locked(g, err);
    if (rc == RS_OK)
        *out = (struct usage){used_locked(g), rs_quota_table_count(g->base) + rs_quota_table_count(g->since),
                              g->refused, g->began_s};
    rs_mutex_unlock(&g->lock);
    return rc;
}

static rs_rc write_group(struct quota_group *g, struct rs_buf *out, struct rs_err *err)
{
    struct usage usage;
    char counted[RS_RFC3339_SIZE];
    RS_TRY(look(g, &usage, err));
    rs_rfc3339(usage.counted_s, counted);
    rs_buf_add_c(out, "{\"repositories\":[");
    for (size_t i = 0; i < g->rule.repository_count; i++) {
        rs_buf_add_c(out, i > 0 ? "," : "");
        rs_json_quote(out, rs_str_c(g->rule.repositories[i]));
    }
    rs_buf_printf(out, "],\"size\":%llu,\"used\":%llu,\"blobs\":%llu,\"refused\":%llu,\"counted\":\"%s\"}",
                  (unsigned long long)g->rule.size, (unsigned long long)usage.used, (unsigned long long)usage.blobs,
                  (unsigned long long)usage.refused, counted);
    return RS_OK;
}

rs_rc rs_quotas_write(struct rs_registry *registry, struct rs_buf *out, struct rs_err *err)
{
    struct rs_quotas *quotas = registry->quotas;
    rs_buf_add_c(out, "{\"quotas\":[");
    for (size_t i = 0; quotas != NULL && i < quotas->count; i++) {
        rs_buf_add_c(out, i > 0 ? "," : "");
        RS_TRY(write_group(&quotas->groups[i], out, err));
    }
    rs_buf_add_c(out, "]}\n");
    return out->overflow ? rs_err_set(err, RS_E_TOO_BIG, "the list of quotas is too long") : RS_OK;
}
