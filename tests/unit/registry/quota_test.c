/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: what their repositories link together never exceeds the size; what they share counts once. */
#include <stdatomic.h>
#include <time.h>

#include "base/mem.h"
#include "base/thread.h"
#include "fixture.h"
#include "registry/quota_priv.h"
#include "registry/registry_priv.h"
#include "registry/remove.h"

#define KIB 1024

static const char *const team[] = {"team/**"};
static const char *const two[] = {"team/a", "solo"};
static const struct rs_quota_rule rules[] = {{team, 1, 10 * KIB}, {two, 2, 4 * KIB}};
static const struct rs_registry_config config = {.quotas = rules, .quota_count = RS_COUNT(rules)};

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    fixture_reopen(*state, &config);
    return 0;
}

/* A blob of that size that no other number has. */
static rs_rc push_sized(struct fixture *f, const char *repository, int number, size_t size, struct rs_digest *out)
{
    RS_AUTO(rs_free_ptr) char *bytes = rs_calloc(1, size + 16);
    snprintf(bytes, 16, "%d", number);
    rs_digest_of(RS_SHA256, bytes, size, out);
    return try_push(f, repository, (rs_str){bytes, size}, out);
}

static rs_rc push(struct fixture *f, const char *repository, int number, size_t size)
{
    struct rs_digest digest;
    return push_sized(f, repository, number, size, &digest);
}

static uint64_t used(struct fixture *f, size_t group)
{
    struct quota_group *g = &f->registry->quotas->groups[group];
    rs_mutex_lock(&g->lock);
    uint64_t n =
        g->base == NULL ? 0 : rs_quota_table_bytes(g->base) + rs_quota_table_bytes(g->since) + g->pending_bytes;
    bool pending = g->pending != NULL;
    rs_mutex_unlock(&g->lock);
    assert_false(pending); /* between pushes */
    return n;
}

/* What a count finds now. */
static uint64_t counted(struct fixture *f, size_t group)
{
    struct rs_quota_table *table = rs_quota_table_new(NULL);
    assert_ok(f, quota_count(&f->registry->quotas->groups[group], table, &f->err));
    uint64_t n = rs_quota_table_bytes(table);
    rs_quota_table_free(&table);
    return n;
}

static void assert_used(struct fixture *f, size_t group, uint64_t expected)
{
    assert_int_equal(used(f, group), expected);
    assert_int_equal(counted(f, group), expected);
}

static void forget_counts(struct fixture *f)
{
    for (size_t i = 0; i < f->registry->quotas->count; i++)
        f->registry->quotas->groups[i].began_ms = f->registry->quotas->groups[i].ended_ms = INT64_MIN / 4;
}

/* --- tests --- */

static void the_size_is_the_limit(void **state)
{
    struct fixture *f = *state;
    assert_ok(f, push(f, "team/x", 1, 6 * KIB));
    assert_ok(f, push(f, "team/y", 2, 4 * KIB)); /* to the last byte */
    assert_used(f, 0, 10 * KIB);
    assert_rc(f, RS_E_DENIED, push(f, "team/x", 3, 1));
    assert_non_null(strstr(f->err.text, "the quota of team/** is used up: 10240 of its 10240 bytes"));
    assert_non_null(strstr(f->err.text, "needs 1 more"));
    assert_non_null(strstr(f->err.text, "roadstead.quotas[0]"));
    assert_ok(f, push(f, "team/x", 4, 0)); /* nothing takes no room */
    assert_ok(f, push(f, "elsewhere", 5, 100 * KIB));
    assert_used(f, 0, 10 * KIB);
    RS_AUTO(rs_free_ptr) char *tree = fixture_tree(f);
    assert_null(strstr(tree, "startedat")); /* what was refused is gone */
}

static void what_is_shared_counts_once(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    assert_ok(f, push_sized(f, "team/x", 1, 6 * KIB, &digest));
    assert_ok(f, push(f, "team/y", 1, 6 * KIB));
    assert_ok(f, push(f, "team/x", 1, 6 * KIB)); /* again */
    assert_ok(f, rs_blob_mount(f->registry, RS_STR("team/z"), RS_STR("team/x"), &digest, &f->err));
    assert_used(f, 0, 6 * KIB);
    assert_ok(f, push_sized(f, "elsewhere", 2, 6 * KIB, &digest));
    assert_rc(f, RS_E_DENIED, rs_blob_mount(f->registry, RS_STR("team/z"), RS_STR("elsewhere"), &digest, &f->err));
    assert_rc(f, RS_E_DENIED, rs_blob_mount_any(f->registry, RS_STR("team/z"), &digest, &f->err));
    assert_false(fixture_exists(f, "repositories/team/z/_layers/sha256/") &&
                 rs_blob_mount(f->registry, RS_STR("free"), RS_STR("team/z"), &digest, NULL) == RS_OK);
    assert_used(f, 0, 6 * KIB);
}

static void all_entries_of_a_repository_hold(void **state)
{
    struct fixture *f = *state;
    assert_ok(f, push(f, "solo", 1, 3 * KIB));
    assert_rc(f, RS_E_DENIED, push(f, "team/a", 2, 2 * KIB));
    assert_non_null(strstr(f->err.text, "the quota of team/a, solo"));
    assert_used(f, 0, 0); /* the first entry has given back what the second refused */
    assert_used(f, 1, 3 * KIB);
    assert_ok(f, push(f, "team/b", 2, 2 * KIB));
    assert_ok(f, push(f, "team/a", 3, 1 * KIB));
    assert_used(f, 0, 3 * KIB);
    assert_used(f, 1, 4 * KIB);
    assert_int_equal(rs_quota_limit(f->registry, RS_STR("team/a")), 4 * KIB);
    assert_int_equal(rs_quota_limit(f->registry, RS_STR("team/b")), 10 * KIB);
    assert_true(rs_quota_limit(f->registry, RS_STR("other")) == UINT64_MAX);
}

static void manifests_count_too(void **state)
{
    struct fixture *f = *state;
    const char *layer = "layer";
    RS_AUTO(rs_free_ptr) char *json = image_json("{}", &layer, 1);
    push_image(f, "team/x", "v1", "{}", layer);
    const uint64_t sum = strlen("{}") + strlen(layer) + strlen(json);
    assert_used(f, 0, sum);
    push_image(f, "team/y", "v1", "{}", layer);
    assert_used(f, 0, sum);
    assert_ok(f, push(f, "team/x", 1, 10 * KIB - sum - 10));
    const char *layers[] = {layer, layer};
    RS_AUTO(rs_free_ptr) char *larger = image_json("{}", layers, 2);
    RS_AUTO(rs_free_ptr) char *before = fixture_tree(f);
    assert_rc(f, RS_E_DENIED, try_put(f, "team/x", "v2", larger, NULL));
    RS_AUTO(rs_free_ptr) char *after = fixture_tree(f);
    assert_string_equal(before, after);
    assert_ok(f, try_put(f, "team/x", "v2", json, NULL)); /* another tag of what is there costs nothing */
    assert_used(f, 0, 10 * KIB - 10);
}

static void what_was_there_before_counts(void **state)
{
    struct fixture *f = *state;
    const struct rs_registry_config none = {.quota_count = 0};
    fixture_reopen(f, &none);
    assert_ok(f, push(f, "team/x", 1, 9 * KIB));
    fixture_reopen(f, &config);
    assert_rc(f, RS_E_DENIED, push(f, "team/y", 2, 2 * KIB));
    assert_ok(f, push(f, "team/y", 1, 9 * KIB));
    assert_used(f, 0, 9 * KIB);
}

/* Aliases that a registry:2 makes, links without data or content, and empty directories. */
static void links_of_others(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest, alias;
    assert_ok(f, push_sized(f, "team/x", 1, 3 * KIB, &digest));
    rs_digest_of(RS_SHA512, "x", 1, &alias);
    char path[512];
    snprintf(path, sizeof path, "repositories/team/x/_layers/sha512/%s/link", rs_digest_hex(&alias));
    fixture_write_c(f, path, digest.text);
    struct rs_digest missing = digest_of("missing");
    snprintf(path, sizeof path, "repositories/team/x/_layers/sha256/%s/link", rs_digest_hex(&missing));
    fixture_write_c(f, path, missing.text);
    struct rs_digest broken = digest_of("broken");
    snprintf(path, sizeof path, "repositories/team/x/_layers/sha256/%s/link", rs_digest_hex(&broken));
    fixture_write_c(f, path, "sha256:nonsense that is quite long, and so not being written, and no digest either way");
    snprintf(path, sizeof path, "blobs/sha256/%.2s/%s/data", rs_digest_hex(&missing), rs_digest_hex(&missing));
    assert_int_equal(counted(f, 0), 3 * KIB);
    fixture_write_c(f, path, "missing");
    assert_int_equal(counted(f, 0), 3 * KIB + 7);
}

static void a_delete_makes_room_at_once(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    for (int i = 0; i < 5; i++) {
        assert_ok(f, push_sized(f, "team/x", 1, 9 * KIB, &digest));
        assert_rc(f, RS_E_DENIED, push(f, "team/y", 2, 9 * KIB));
        assert_ok(f, rs_blob_unlink(f->registry, RS_STR("team/x"), &digest, &f->err));
        assert_ok(f, push_sized(f, "team/y", 2, 9 * KIB, &digest));
        assert_rc(f, RS_E_DENIED, push(f, "team/x", 1, 9 * KIB));
        assert_ok(f, rs_blob_unlink(f->registry, RS_STR("team/y"), &digest, &f->err));
    }
    struct rs_digest image = push_image(f, "team/x", "v1", "{}", "layer");
    const uint64_t full = used(f, 0);
    assert_ok(f, rs_manifest_delete(f->registry, RS_STR("team/x"), &image, NULL, NULL, &f->err));
    forget_counts(f);
    assert_ok(f, push(f, "team/x", 3, 1));
    assert_true(used(f, 0) < full);
}

static void a_blob_that_two_have_stays_counted(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    assert_ok(f, push_sized(f, "team/x", 1, 9 * KIB, &digest));
    assert_ok(f, push(f, "team/y", 1, 9 * KIB));
    assert_ok(f, rs_blob_unlink(f->registry, RS_STR("team/x"), &digest, &f->err));
    assert_rc(f, RS_E_DENIED, push(f, "team/x", 2, 2 * KIB));
    assert_used(f, 0, 9 * KIB);
}

static void what_others_removed_is_found(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    struct fixture *other = fixture_second(f);
    assert_ok(f, push_sized(f, "team/x", 1, 9 * KIB, &digest));
    assert_ok(f, rs_blob_unlink(other->registry, RS_STR("team/x"), &digest, &f->err));
    f->registry->quotas->groups[0].ended_ms -= 2000; /* a second and more has passed since the count */
    f->registry->quotas->groups[0].began_ms -= 2000;
    assert_ok(f, push(f, "team/y", 2, 9 * KIB));
    fixture_second_free(&other);
}

static void what_others_pushed_is_found_within_a_minute(void **state)
{
    struct fixture *f = *state;
    struct fixture *other = fixture_second(f);
    fixture_reopen(other, &config);
    assert_ok(f, push(f, "team/x", 1, KIB));
    assert_ok(f, push(other, "team/x", 2, 9 * KIB));
    assert_int_equal(used(f, 0), KIB);
    assert_ok(f, push(f, "team/x", 3, KIB)); /* beyond: the other one's are not known yet */
    forget_counts(f);
    assert_rc(f, RS_E_DENIED, push(f, "team/x", 4, KIB));
    assert_used(f, 0, 11 * KIB);
    fixture_second_free(&other);
}

static void age_counts(struct fixture *f, int64_t ms)
{
    struct quota_group *g = &f->registry->quotas->groups[0];
    rs_mutex_lock(&g->lock);
    g->began_ms -= ms;
    g->ended_ms -= ms;
    rs_mutex_unlock(&g->lock);
}

static uint64_t counts(struct fixture *f)
{
    struct quota_group *g = &f->registry->quotas->groups[0];
    rs_mutex_lock(&g->lock);
    uint64_t n = g->next == NULL ? g->counts : 0;
    rs_mutex_unlock(&g->lock);
    return n;
}

static void a_count_is_renewed_beside_the_pushes(void **state)
{
    struct fixture *f = *state;
    struct fixture *other = fixture_second(f);
    assert_ok(f, push(f, "team/x", 1, KIB));
    assert_ok(f, push(other, "team/x", 2, 2 * KIB));
    age_counts(f, 20000);
    assert_ok(f, push(f, "team/x", 3, KIB));
    assert_int_equal(counts(f), 1);
    age_counts(f, 11000);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:delay=100"), &f->err));
    assert_ok(f, push(f, "team/x", 4, KIB)); /* does not wait, and is not lost */
    assert_int_equal(counts(f), 0);
    for (int i = 0; i < 1000 && counts(f) != 2; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_int_equal(counts(f), 2);
    rs_storage_faulty_clear(f->storage);
    assert_used(f, 0, 5 * KIB);
    fixture_second_free(&other);
}

static void what_cannot_be_renewed_is_told(void **state)
{
    struct fixture *f = *state;
    assert_ok(f, push(f, "team/x", 1, KIB));
    age_counts(f, 31000);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:error=IO"), &f->err));
    assert_ok(f, push(f, "team/x", 2, KIB));
    for (int i = 0; i < 1000 && counts(f) != 2; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_rc(f, RS_E_IO, push(f, "team/x", 3, KIB));
    rs_storage_faulty_clear(f->storage);
    assert_ok(f, push(f, "team/x", 3, KIB));
    assert_used(f, 0, 3 * KIB);
}

static void a_registry_is_closed_while_it_counts(void **state)
{
    struct fixture *f = *state;
    assert_ok(f, push(f, "team/x", 1, KIB));
    assert_ok(f, push(f, "team/y", 1, KIB));
    age_counts(f, 31000);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:delay=50"), &f->err));
    assert_ok(f, push(f, "team/x", 2, KIB));
    assert_int_equal(counts(f), 0);
    fixture_reopen(f, &config);
    assert_ok(f, push(f, "team/x", 3, KIB));
    assert_used(f, 0, 3 * KIB);
}

/* --- failures --- */

static void a_failure_gives_the_room_back(void **state)
{
    struct fixture *f = *state;
    static const char *const plans[] = {"publish:nth=1:error=IO", "sync:nth=1:error=IO", "put:nth=2:error=IO"};
    assert_ok(f, push(f, "team/x", 1, KIB)); /* counted */
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        struct rs_digest digest;
        char uuid[RS_UUID_SIZE];
        struct rs_upload *upload = NULL;
        RS_AUTO(rs_free_ptr) char *bytes = rs_calloc(1, 9 * KIB);
        bytes[0] = (char)('a' + i);
        rs_digest_of(RS_SHA256, bytes, 9 * KIB, &digest);
        assert_ok(f, rs_upload_begin(f->registry, RS_STR("team/x"), uuid, &f->err));
        assert_ok(f, rs_upload_open(f->registry, RS_STR("team/x"), rs_str_c(uuid), RS_SHA256, &upload, &f->err));
        assert_ok(f, rs_upload_write(upload, bytes, 9 * KIB, &f->err));
        assert_ok(f, rs_storage_faulty_parse(f->storage, rs_str_c(plans[i]), &f->err));
        rs_rc rc = rs_upload_commit(&upload, &digest, &f->err);
        rs_storage_faulty_clear(f->storage);
        assert_int_equal(used(f, 0), counted(f, 0)); /* given back, unless the link was made and leads to data */
        if (rc == RS_OK || used(f, 0) > KIB) {
            assert_ok(f, rs_blob_unlink(f->registry, RS_STR("team/x"), &digest, &f->err));
            assert_ok(f, push(f, "team/x", 10, KIB * 8));
            assert_ok(f, push_sized(f, "team/x", 10, KIB * 8, &digest));
            assert_ok(f, rs_blob_unlink(f->registry, RS_STR("team/x"), &digest, &f->err));
            forget_counts(f);
            assert_ok(f, push(f, "team/x", 1, KIB));
        }
        assert_used(f, 0, KIB);
    }
}

static void what_cannot_be_counted_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_ok(f, push(f, "elsewhere", 1, 1));
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:nth=1:times=1:error=IO"), &f->err));
    assert_rc(f, RS_E_IO, push(f, "team/x", 1, 1));
    assert_non_null(strstr(f->err.text, "counting what the quota of team/** holds"));
    assert_ok(f, push(f, "team/x", 1, 1));
    assert_used(f, 0, 1);
}

static uint64_t books(struct fixture *f)
{
    const struct quota_group *g = &f->registry->quotas->groups[0];
    return rs_quota_table_bytes(g->base) + rs_quota_table_bytes(g->since) + g->pending_bytes;
}

/* Whichever of two pushes of a blob is done first, and however: it counts once as long as one of them may have it. */
static void two_pushes_of_one_blob(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = digest_of("blob");
    for (unsigned i = 0; i < 8; i++) {
        struct rs_quota_claim *claims[2];
        const bool made[2] = {(i & 1) != 0, (i & 2) != 0};
        const unsigned first = i >> 2;
        fixture_reopen(f, &config);
        for (size_t k = 0; k < 2; k++)
            assert_ok(f,
                      rs_quota_take(f->registry, RS_STR("team/x"), RS_QUOTA_LAYER, &digest, KIB, &claims[k], &f->err));
        assert_int_equal(books(f), KIB);
        rs_quota_settle(f->registry, &claims[first], made[first]);
        assert_int_equal(books(f), KIB);
        rs_quota_settle(f->registry, &claims[1 - first], made[1 - first]);
        assert_int_equal(books(f), made[0] || made[1] ? KIB : 0);
        assert_null(claims[0]);
    }
}

/* --- early --- */

static void a_hopeless_upload_ends_early(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE], bytes[KIB] = "";
    uint64_t offset;
    struct rs_digest digest = digest_of("never");
    struct rs_upload *upload = NULL;
    assert_ok(f, rs_upload_begin(f->registry, RS_STR("solo"), uuid, &f->err));
    assert_ok(f, rs_upload_open(f->registry, RS_STR("solo"), rs_str_c(uuid), RS_SHA256, &upload, &f->err));
    assert_ok(f, rs_upload_announce(upload, NULL, 4 * KIB, &f->err));
    for (int i = 0; i < 4; i++)
        assert_ok(f, rs_upload_write(upload, bytes, sizeof bytes, &f->err));
    assert_rc(f, RS_E_DENIED, rs_upload_write(upload, bytes, 1, &f->err));
    assert_non_null(
        strstr(f->err.text, "the upload is larger than the whole quota of team/a, solo, which is 4096 bytes"));
    rs_upload_suspend(&upload);
    assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN,
              rs_upload_stat(f->registry, RS_STR("solo"), rs_str_c(uuid), &offset, &f->err));
    assert_ok(f, rs_upload_begin(f->registry, RS_STR("solo"), uuid, &f->err));
    assert_ok(f, rs_upload_open(f->registry, RS_STR("solo"), rs_str_c(uuid), RS_SHA256, &upload, &f->err));
    assert_rc(f, RS_E_DENIED, rs_upload_announce(upload, NULL, 4 * KIB + 1, &f->err));
    rs_upload_suspend(&upload);
    assert_ok(f, push(f, "solo", 1, 3 * KIB));
    assert_ok(f, rs_upload_begin(f->registry, RS_STR("solo"), uuid, &f->err));
    assert_ok(f, rs_upload_open(f->registry, RS_STR("solo"), rs_str_c(uuid), RS_SHA256, &upload, &f->err));
    assert_ok(f, rs_upload_announce(upload, NULL, 2 * KIB, &f->err)); /* perhaps it is one that is there */
    assert_rc(f, RS_E_DENIED, rs_upload_announce(upload, &digest, 2 * KIB, &f->err));
    rs_upload_suspend(&upload);
    RS_AUTO(rs_free_ptr) char *tree = fixture_tree(f);
    assert_null(strstr(tree, "startedat"));
}

static void nothing_begins_in_a_full_quota(void **state)
{
    struct fixture *f = *state;
    struct rs_digest there, new = digest_of("new");
    assert_ok(f, rs_upload_check_room(f->registry, RS_STR("solo"), NULL, 0, &f->err));
    assert_ok(f, push_sized(f, "solo", 1, 4 * KIB, &there));
    assert_rc(f, RS_E_DENIED, rs_upload_check_room(f->registry, RS_STR("solo"), NULL, 0, &f->err));
    assert_rc(f, RS_E_DENIED, rs_upload_check_room(f->registry, RS_STR("team/a"), &new, 0, &f->err));
    assert_ok(f, rs_upload_check_room(f->registry, RS_STR("team/a"), &there, 0, &f->err));
    assert_ok(f, rs_upload_check_room(f->registry, RS_STR("team/b"), NULL, 0, &f->err));
}

/* --- at once --- */

#define THREADS 8
#define BLOBS 12 /* a thread */

struct worker {
    struct fixture f; /* an error of its own */
    int number;
    atomic_uint *most;
    unsigned pushed;
    const char *complaint;
};

static void note_usage(struct worker *w)
{
    struct quota_group *g = &w->f.registry->quotas->groups[0];
    rs_mutex_lock(&g->lock);
    uint64_t n =
        g->base == NULL ? 0 : rs_quota_table_bytes(g->base) + rs_quota_table_bytes(g->since) + g->pending_bytes;
    rs_mutex_unlock(&g->lock);
    if (n > 10 * KIB)
        w->complaint = "more than the size in the books";
}

/* Half of the blobs are everybody's, half its own; now and then one is deleted, or the count is forgotten. */
static void *push_many(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < BLOBS && w->complaint == NULL; i++) {
        struct rs_digest digest;
        int number = i % 2 == 0 ? i : 100 * w->number + i;
        char repository[32];
        snprintf(repository, sizeof repository, "team/x%d", w->number % 3);
        rs_rc rc = push_sized(&w->f, repository, number, KIB / 2, &digest);
        w->pushed += rc == RS_OK;
        if (rc != RS_OK && rc != RS_E_DENIED)
            w->complaint = w->f.err.text;
        note_usage(w);
        if (rc == RS_OK && i % 5 == 4)
            rs_blob_unlink(w->f.registry, rs_str_c(repository), &digest, NULL);
    }
    return NULL;
}

static void threads_at_the_limit(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 3; round++) {
        struct worker *workers = rs_calloc(THREADS, sizeof *workers);
        pthread_t threads[THREADS];
        unsigned pushed = 0;
        for (int i = 0; i < THREADS; i++) {
            workers[i].f = *f;
            workers[i].number = i + 10 * round;
            assert_int_equal(rs_thread_start(&threads[i], push_many, &workers[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            if (workers[i].complaint != NULL)
                fail_msg("%s", workers[i].complaint);
            pushed += workers[i].pushed;
        }
        assert_true(pushed > 0);
        assert_true(counted(f, 0) <= 10 * KIB);
        assert_true(used(f, 0) >= counted(f, 0)); /* nothing that is there is missing in the books */
        free(workers);
    }
    assert_rc(f, RS_E_DENIED, push(f, "team/x0", 7777, 10 * KIB));
    assert_used(f, 0, counted(f, 0));
}

static void *push_first(void *arg)
{
    struct worker *w = arg;
    w->pushed = push(&w->f, "team/x", w->number, KIB) == RS_OK;
    return NULL;
}

static void first_pushes_at_once_wait_for_one_count(void **state)
{
    struct fixture *f = *state;
    struct worker *workers = rs_calloc(THREADS, sizeof *workers);
    pthread_t threads[THREADS];
    assert_ok(f, push(f, "elsewhere", 1, 1));
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:delay=50"), &f->err));
    for (int i = 0; i < THREADS; i++) {
        workers[i].f = *f;
        workers[i].number = i;
        assert_int_equal(rs_thread_start(&threads[i], push_first, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].pushed, 1);
    }
    rs_storage_faulty_clear(f->storage);
    assert_int_equal(f->registry->quotas->groups[0].counts, 1);
    assert_used(f, 0, THREADS * KIB);
    free(workers);
}

/* --- others --- */

static void usage_is_told(void **state)
{
    struct fixture *f = *state;
    struct rs_buf text;
    rs_buf_init(&text, 4096);
    assert_ok(f, push(f, "team/a", 1, KIB));
    assert_rc(f, RS_E_DENIED, push(f, "team/b", 2, 10 * KIB));
    assert_ok(f, rs_quotas_write(f->registry, &text, &f->err));
    assert_non_null(strstr(rs_buf_z(&text), "{\"quotas\":[{\"repositories\":[\"team/**\"],\"size\":10240,\"used\":1024,"
                                            "\"blobs\":1,\"refused\":1,\"counted\":\"2"));
    assert_non_null(strstr(rs_buf_z(&text), "{\"repositories\":[\"team/a\",\"solo\"],\"size\":4096,\"used\":1024,"));
    rs_buf_clear(&text);
    const struct rs_registry_config none = {.quota_count = 0};
    fixture_reopen(f, &none);
    assert_ok(f, rs_quotas_write(f->registry, &text, &f->err));
    assert_string_equal(rs_buf_z(&text), "{\"quotas\":[]}\n");
    rs_buf_release(&text);
}

static void where_a_walk_begins(void **state)
{
    static const struct {
        const char *globs[3];
        const char *below;
    } cases[] = {
        {{"**"}, ""},
        {{"team/**"}, "team"},
        {{"team/a*"}, "team"},
        {{"team*"}, ""},
        {{"team"}, "team"},
        {{"team/app"}, "team/app"},
        {{"team/app", "team/**"}, "team"},
        {{"team/app", "teamwork/**"}, ""},
        {{"a/b/c/**", "a/b/d/*", "a/b"}, "a/b"},
        {{"a/b/c", "a/b/c/d"}, "a/b/c"},
        {{"[a]/b"}, ""},
        {{"../x"}, ""},
        {{"Team/**"}, ""},
        {{"a\\b/c"}, ""},
        {{"/a/**"}, ""},
    };
    (void)state;
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        size_t count = 0;
        while (count < 3 && cases[i].globs[count] != NULL)
            count++;
        RS_AUTO(rs_free_ptr) char *below = quota_below(cases[i].globs, count);
        assert_string_equal(below, cases[i].below);
    }
}

static struct rs_quota_key key_of(uint32_t number)
{
    struct rs_digest digest;
    rs_digest_of(number % 2 == 0 ? RS_SHA256 : RS_SHA512, &number, sizeof number, &digest);
    return rs_quota_key_of(&digest);
}

/* In memory, then in a file; and where there can be no file. */
static void tables_of_any_size(void **state)
{
    struct fixture *f = *state;
    const char *const directories[] = {f->state, NULL, "/nonexistent"};
    for (size_t d = 0; d < RS_COUNT(directories); d++) {
        struct rs_quota_table *table = rs_quota_table_new(directories[d]);
        struct rs_quota_key key = key_of(0);
        assert_false(rs_quota_table_has(table, &key));
        for (uint32_t i = 0; i < 20000; i++) {
            key = key_of(i);
            assert_ok(f, rs_quota_table_add(table, &key, i, &f->err));
            if (i % 1000 == 0)
                assert_ok(f, rs_quota_table_add(table, &key, 5, &f->err)); /* it is there */
        }
        assert_int_equal(rs_quota_table_count(table), 20000);
        assert_int_equal(rs_quota_table_bytes(table), 20000ull * 19999 / 2);
        for (uint32_t i = 0; i < 40000; i++) {
            key = key_of(i);
            assert_int_equal(rs_quota_table_has(table, &key), i < 20000);
        }
        struct rs_quota_table *other = rs_quota_table_new(NULL), *third = rs_quota_table_new(directories[d]);
        for (uint32_t i = 19990; i < 20010; i++) {
            key = key_of(i);
            assert_ok(f, rs_quota_table_add(other, &key, 1, &f->err));
        }
        assert_ok(f, rs_quota_table_add_others(third, other, table, &f->err));
        assert_int_equal(rs_quota_table_count(third), 10);
        rs_quota_table_free(&table);
        rs_quota_table_free(&other);
        rs_quota_table_free(&third);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_size_is_the_limit, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_is_shared_counts_once, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(all_entries_of_a_repository_hold, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(manifests_count_too, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_was_there_before_counts, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(links_of_others, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_delete_makes_room_at_once, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_blob_that_two_have_stays_counted, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_others_removed_is_found, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_others_pushed_is_found_within_a_minute, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_count_is_renewed_beside_the_pushes, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_renewed_is_told, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_registry_is_closed_while_it_counts, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_failure_gives_the_room_back, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_counted_is_refused, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(two_pushes_of_one_blob, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_hopeless_upload_ends_early, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(nothing_begins_in_a_full_quota, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(threads_at_the_limit, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(first_pushes_at_once_wait_for_one_count, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(usage_is_told, setup, fixture_teardown),
        cmocka_unit_test(where_a_walk_begins),
        cmocka_unit_test_setup_teardown(tables_of_any_size, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
