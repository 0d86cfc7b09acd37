/* SPDX-License-Identifier: Apache-2.0 */
/* Pushes on a condition, and pushes that name several tags. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"

#define REPO "swap/app"
#define THREADS 6
#define ROUNDS 25

/* A condition: what the reference must be; "" for nothing. */
struct wanted {
    const char *digest;
};

static bool is_wanted(void *ctx, const struct rs_digest *held)
{
    const struct wanted *w = ctx;
    return held == NULL ? w->digest[0] == '\0' : strcmp(held->text, w->digest) == 0;
}

/* An index without children: a manifest that needs no blobs. */
static void index_json(char out[256], const char *mark, int number)
{
    snprintf(out, 256,
             "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":[],"
             "\"annotations\":{\"%s\":\"%d\"}}",
             mark, number);
}

static rs_rc put_if(struct fixture *f, const char *reference, const char *json, const char *wanted,
                    struct rs_digest *out)
{
    struct wanted w = {.digest = wanted};
    struct rs_manifest_put put = {
        .repository = RS_STR(REPO), .bytes = rs_str_c(json), .accept = is_wanted, .accept_ctx = &w};
    RS_TRY(rs_reference_parse(rs_str_c(reference), &put.reference, &f->err));
    return rs_manifest_put(f->registry, &put, out, &f->err);
}

static void a_tag_moves_only_from_where_it_is(void **state)
{
    struct fixture *f = *state;
    struct rs_digest a, b, other;
    char json[3][256];
    for (int i = 0; i < 3; i++)
        index_json(json[i], "n", i);
    assert_rc(f, RS_E_PRECONDITION, put_if(f, "v1", json[0], digest_of("x").text, &a));
    assert_false(fixture_exists(f, "repositories/" REPO)); /* refused before anything was stored */
    assert_false(fixture_exists(f, "blobs"));
    assert_ok(f, put_if(f, "v1", json[0], "", &a));
    assert_rc(f, RS_E_PRECONDITION, put_if(f, "v1", json[1], "", &other));
    assert_manifest(f, REPO, "v1", json[0]);
    assert_ok(f, put_if(f, "v1", json[1], a.text, &b));
    assert_manifest(f, REPO, "v1", json[1]);
    assert_rc(f, RS_E_PRECONDITION, put_if(f, "v1", json[2], a.text, &other));
    assert_ok(f, put_if(f, "v1", json[1], b.text, &other)); /* to itself */
    assert_manifest(f, REPO, "v1", json[1]);
}

static void the_history_of_a_tag_holds_winners_alone(void **state)
{
    struct fixture *f = *state;
    struct rs_digest a, other;
    char json[2][256];
    index_json(json[0], "n", 0);
    index_json(json[1], "n", 1);
    assert_ok(f, put_if(f, "v1", json[0], "", &a));
    assert_rc(f, RS_E_PRECONDITION, put_if(f, "v1", json[1], "", &other));
    RS_AUTO(rs_free_ptr) char *tree = fixture_tree(f);
    assert_non_null(strstr(tree, "tags/v1/index/sha256/"));
    assert_non_null(strstr(tree, rs_digest_hex(&a)));
    assert_null(strstr(tree, rs_digest_hex((const struct rs_digest[]){digest_of(json[1])})));
}

static void by_digest_it_is_about_the_manifest(void **state)
{
    struct fixture *f = *state;
    struct rs_digest got;
    char json[256];
    index_json(json, "n", 0);
    struct rs_digest digest = digest_of(json);
    assert_rc(f, RS_E_PRECONDITION, put_if(f, digest.text, json, digest.text, &got));
    assert_false(fixture_exists(f, "blobs"));
    assert_ok(f, put_if(f, digest.text, json, "", &got));
    assert_manifest(f, REPO, digest.text, json);
    assert_rc(f, RS_E_PRECONDITION, put_if(f, digest.text, json, "", &got));
    assert_ok(f, put_if(f, digest.text, json, digest.text, &got));
}

static void a_damaged_link_is_told(void **state)
{
    struct fixture *f = *state;
    struct rs_digest got;
    char json[256];
    index_json(json, "n", 0);
    fixture_write_c(f, "repositories/" REPO "/_manifests/tags/v1/current/link",
                    "nothing that is a digest, but as long as one: nothing that is a digest, but as long as one");
    assert_rc(f, RS_E_CORRUPT, put_if(f, "v1", json, "", &got));
    assert_ok(f, try_put(f, REPO, "v1", json, &got)); /* without a condition it is mended */
    assert_manifest(f, REPO, "v1", json);
}

static void several_tags_in_one_push(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    char json[256];
    rs_str tags[40];
    char names[40][8];
    index_json(json, "n", 0);
    for (size_t i = 0; i < RS_COUNT(tags); i++) {
        snprintf(names[i], sizeof names[i], "t%zu", i);
        tags[i] = rs_str_c(names[i]);
    }
    struct rs_manifest_put put = {.repository = RS_STR(REPO), .bytes = rs_str_c(json), .tags = tags, .tag_count = 40};
    rs_digest_of(RS_SHA512, json, strlen(json), &put.reference.digest);
    put.reference.is_digest = true;
    assert_ok(f, rs_manifest_put(f->registry, &put, &digest, &f->err));
    for (size_t i = 0; i < RS_COUNT(tags); i++) {
        const struct rs_manifest_doc *doc;
        assert_ok(f, try_get(f, REPO, names[i], &doc));
        assert_string_equal(doc->digest.text, put.reference.digest.text);
        rs_manifest_doc_unref(&doc);
    }
}

/* --- many at once --- */

struct worker {
    struct fixture f; /* an error of its own */
    int number;
    const char *complaint;
};

static pthread_barrier_t barrier;
static struct rs_digest expected;
static atomic_int winners;

/* Everybody wants to move the tag from the same place to one of his own: in each round one may. */
static void *move_from_the_same(void *arg)
{
    struct worker *w = arg;
    for (int round = 0; round < ROUNDS; round++) {
        char json[256];
        struct rs_digest digest;
        index_json(json, round == 0 ? "first" : "later", w->number * 1000 + round);
        pthread_barrier_wait(&barrier);
        struct rs_digest from = expected;
        pthread_barrier_wait(&barrier);
        rs_rc rc = put_if(&w->f, "lease", json, round == 0 ? "" : from.text, &digest);
        if (rc == RS_OK) {
            atomic_fetch_add(&winners, 1);
            expected = digest;
        } else if (rc != RS_E_PRECONDITION) {
            w->complaint = rs_rc_name(rc);
        }
        pthread_barrier_wait(&barrier);
        if (w->number == 0 && atomic_exchange(&winners, 0) != 1)
            w->complaint = "not one winner";
    }
    return NULL;
}

static void run(struct fixture *f, void *(*body)(void *))
{
    struct fixture *second = fixture_second(f);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.f = i % 2 ? *f : *second, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, body, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    for (int i = 0; i < THREADS; i++)
        if (workers[i].complaint != NULL)
            fail_msg("thread %d: %s: %s", i, workers[i].complaint, workers[i].f.err.text);
    fixture_second_free(&second);
}

static void one_wins_each_round(void **state)
{
    struct fixture *f = *state;
    run(f, move_from_the_same);
    const struct rs_manifest_doc *doc;
    assert_ok(f, try_get(f, REPO, "lease", &doc));
    assert_string_equal(doc->digest.text, expected.text);
    rs_manifest_doc_unref(&doc);
}

/* One thread in two pushes without a condition. Whoever moved the tag from A to B saw A: so if the unconditional push
 * of X was acknowledged and nobody said "from X", X is what is left. */
static void *plain_or_conditional(void *arg)
{
    struct worker *w = arg;
    for (int round = 0; round < ROUNDS; round++) {
        char json[256];
        struct rs_digest digest;
        index_json(json, w->number == 0 ? "plain" : "conditional", w->number * 1000 + round);
        pthread_barrier_wait(&barrier);
        struct rs_digest from = expected;
        pthread_barrier_wait(&barrier);
        rs_rc rc = w->number == 0 ? try_put(&w->f, REPO, "mixed", json, &digest)
                                  : put_if(&w->f, "mixed", json, from.text, &digest);
        if (rc != RS_OK && rc != RS_E_PRECONDITION)
            w->complaint = rs_rc_name(rc);
        if (rc == RS_OK && w->number != 0)
            atomic_fetch_add(&winners, 1);
        if (w->number == 0)
            expected = digest; /* the last word: a condition on `from` holds only before it */
        pthread_barrier_wait(&barrier);
        const struct rs_manifest_doc *doc = NULL;
        if (w->number != 0)
            continue;
        if (atomic_exchange(&winners, 0) > 1)
            w->complaint = "two winners";
        if (try_get(&w->f, REPO, "mixed", &doc) != RS_OK || !rs_digest_eq(&doc->digest, &expected))
            w->complaint = "an acknowledged push without a condition was lost";
        rs_manifest_doc_unref(&doc);
    }
    return NULL;
}

static void a_push_without_a_condition_is_not_lost(void **state)
{
    struct fixture *f = *state;
    char json[256];
    index_json(json, "begin", 0);
    assert_ok(f, try_put(f, REPO, "mixed", json, &expected));
    run(f, plain_or_conditional);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tag_moves_only_from_where_it_is),
        TEST(the_history_of_a_tag_holds_winners_alone),
        TEST(by_digest_it_is_about_the_manifest),
        TEST(a_damaged_link_is_told),
        TEST(several_tags_in_one_push),
        TEST(one_wins_each_round),
        TEST(a_push_without_a_condition_is_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
