/* SPDX-License-Identifier: Apache-2.0 */
/* Immutable tags: once set, no client moves or removes them. */
#include <stdatomic.h>

#include "base/mem.h"
#include "base/thread.h"
#include "fixture.h"
#include "registry/policy.h"
#include "registry/registry_priv.h"

#define REPO "team/app"

static const char *const teams[] = {"team/**", "other"};
static const char *const versions[] = {"v*", "[0-9]*"};
static const char *const everything[] = {"**"};
static const char *const boxes[] = {"box"};
static const struct rs_immutable_rule rules[] = {
    {boxes, 1, everything, 1},
    {teams, 2, versions, 2},
};
static const struct rs_registry_config config = {.immutable = rules, .immutable_count = RS_COUNT(rules)};

/* The registry of a fixture, opened anew with the rules. */
static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    fixture_reopen(*state, &config);
    return 0;
}

static void matching(void **state)
{
    static const struct {
        const char *repository;
        const char *tag;
        bool immutable;
    } cases[] = {
        {"team/app", "v1", true},    {"team/app", "1.0", true}, {"team/a/b", "v", true}, {"team", "v1", true},
        {"team/app", "main", false}, {"teamwork", "v1", false}, {"other", "2", true},    {"other/x", "v1", false},
        {"box", "main", true},       {"box", "v1", true},       {"boxes", "v1", false},  {"team/app", "V1", false},
    };
    (void)state;
    struct rs_policy *policy = rs_policy_new(&config);
    for (size_t i = 0; i < RS_COUNT(cases); i++)
        assert_int_equal(rs_policy_is_immutable(policy, rs_str_c(cases[i].repository), rs_str_c(cases[i].tag)),
                         cases[i].immutable);
    assert_true(rs_policy_concerns(policy, RS_STR("box")));
    assert_false(rs_policy_concerns(policy, RS_STR("nobody")));
    rs_policy_free(&policy);
    assert_null(policy);
    const struct rs_registry_config none = {.immutable_count = 0};
    assert_null(rs_policy_new(&none));
    assert_false(rs_policy_is_immutable(NULL, RS_STR("box"), RS_STR("v1")));
    assert_false(rs_policy_concerns(NULL, RS_STR("box")));
    rs_policy_free(&policy);
}

static char *other_json(int number)
{
    struct rs_buf b;
    rs_buf_init(&b, 1024);
    rs_buf_printf(&b,
                  "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX
                  "\",\"manifests\":[],\"annotations\":{\"n\":\"%d\"}}",
                  number);
    rs_buf_z(&b);
    return b.ptr;
}

static void another_manifest_is_refused_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_free_ptr) char *first = other_json(1);
    RS_AUTO(rs_free_ptr) char *second = other_json(2);
    assert_ok(f, try_put(f, REPO, "v1", first, NULL));
    RS_AUTO(rs_free_ptr) char *before = fixture_tree(f);
    assert_rc(f, RS_E_DENIED, try_put(f, REPO, "v1", second, NULL));
    struct rs_digest held = digest_of(first);
    assert_non_null(strstr(f->err.text, "tag v1 of " REPO " is immutable"));
    assert_non_null(strstr(f->err.text, held.text));
    assert_non_null(strstr(f->err.text, "roadstead.immutable_tags[1]: v*, [0-9]* of team/**, other"));
    RS_AUTO(rs_free_ptr) char *after = fixture_tree(f);
    assert_string_equal(before, after);
    assert_manifest(f, REPO, "v1", first);
    assert_ok(f, try_put(f, REPO, "v1", first, NULL));    /* the same again */
    assert_ok(f, try_put(f, REPO, "main", second, NULL)); /* another tag, which moves */
    assert_ok(f, try_put(f, REPO, "main", first, NULL));
    assert_ok(f, try_put(f, "mine", "v1", first, NULL)); /* another repository */
    assert_ok(f, try_put(f, "mine", "v1", second, NULL));
}

static rs_rc put_with_tags(struct fixture *f, const char *json, const rs_str *tags, size_t count)
{
    struct rs_digest digest = digest_of(json);
    struct rs_manifest_put put = {
        .repository = RS_STR(REPO), .bytes = rs_str_c(json), .tags = tags, .tag_count = count};
    assert_ok(f, rs_reference_parse(rs_digest_str(&digest), &put.reference, &f->err));
    return rs_manifest_put(f->registry, &put, &digest, &f->err);
}

static void tags_named_beside_a_digest_are_bound_too(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_free_ptr) char *first = other_json(1);
    RS_AUTO(rs_free_ptr) char *second = other_json(2);
    const rs_str tags[] = {RS_STR("main"), RS_STR("v1")};
    assert_ok(f, put_with_tags(f, first, tags, 2));
    RS_AUTO(rs_free_ptr) char *before = fixture_tree(f);
    assert_rc(f, RS_E_DENIED, put_with_tags(f, second, tags, 2));
    RS_AUTO(rs_free_ptr) char *after = fixture_tree(f);
    assert_string_equal(before, after);
    assert_ok(f, put_with_tags(f, first, tags, 2));
    assert_ok(f, put_with_tags(f, second, tags, 1));
}

struct condition {
    bool answer;
    unsigned asked;
};

static bool answer(void *ctx, const struct rs_digest *held)
{
    struct condition *c = ctx;
    (void)held;
    c->asked++;
    return c->answer;
}

static rs_rc put_if(struct fixture *f, const char *tag, const char *json, struct condition *c)
{
    struct rs_digest digest;
    struct rs_manifest_put put = {
        .repository = RS_STR(REPO), .bytes = rs_str_c(json), .accept = answer, .accept_ctx = c};
    assert_ok(f, rs_reference_parse(rs_str_c(tag), &put.reference, &f->err));
    return rs_manifest_put(f->registry, &put, &digest, &f->err);
}

static void both_conditions_must_hold(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_free_ptr) char *first = other_json(1);
    RS_AUTO(rs_free_ptr) char *second = other_json(2);
    struct condition yes = {.answer = true}, no = {.answer = false};
    assert_rc(f, RS_E_PRECONDITION, put_if(f, "v1", first, &no));
    assert_ok(f, put_if(f, "v1", first, &yes));
    assert_rc(f, RS_E_PRECONDITION, put_if(f, "v1", first, &no));
    assert_ok(f, put_if(f, "v1", first, &yes));
    assert_rc(f, RS_E_DENIED, put_if(f, "v1", second, &yes));
    assert_rc(f, RS_E_PRECONDITION, put_if(f, "v1", second, &no));
    assert_true(yes.asked > 0);
    assert_manifest(f, REPO, "v1", first);
}

static void the_move_itself_is_guarded(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_free_ptr) char *first = other_json(1);
    RS_AUTO(rs_free_ptr) char *second = other_json(2);
    /* The early look does not see what another process sets just then: this fault hides it from that look alone. */
    assert_ok(f, try_put(f, REPO, "v1", first, NULL));
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("read:nth=1:error=NOT_FOUND"), &f->err));
    assert_rc(f, RS_E_DENIED, try_put(f, REPO, "v1", second, NULL));
    assert_manifest(f, REPO, "v1", first);
    struct rs_digest digest = digest_of(second);
    assert_manifest(f, REPO, digest.text, second); /* stored, without a tag */
}

static void deletes_are_refused(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_free_ptr) char *json = other_json(1);
    RS_AUTO(rs_free_ptr) char *free_json = other_json(2);
    struct rs_digest digest = digest_of(json);
    struct rs_digest untagged = digest_of(free_json);
    assert_ok(f, try_put(f, REPO, "v1", json, NULL));
    assert_ok(f, try_put(f, REPO, "a-main", json, NULL));
    assert_ok(f, try_put(f, REPO, "x-main", json, NULL));
    assert_ok(f, try_put(f, REPO, "x-free", free_json, NULL));
    RS_AUTO(rs_free_ptr) char *before = fixture_tree(f);
    assert_rc(f, RS_E_DENIED, rs_tag_delete(f->registry, RS_STR(REPO), RS_STR("v1"), &f->err));
    assert_non_null(strstr(f->err.text, "tag v1 of " REPO " is immutable"));
    assert_rc(f, RS_E_DENIED, rs_manifest_delete(f->registry, RS_STR(REPO), &digest, NULL, NULL, &f->err));
    assert_non_null(strstr(f->err.text, "tag v1 of " REPO " is immutable"));
    RS_AUTO(rs_free_ptr) char *after = fixture_tree(f);
    assert_string_equal(before, after);
    assert_rc(f, RS_E_MANIFEST_UNKNOWN, rs_tag_delete(f->registry, RS_STR(REPO), RS_STR("v2"), &f->err));
    assert_ok(f, rs_tag_delete(f->registry, RS_STR(REPO), RS_STR("a-main"), &f->err));
    assert_ok(f, rs_manifest_delete(f->registry, RS_STR(REPO), &untagged, NULL, NULL, &f->err));
    assert_rc(f, RS_E_MANIFEST_UNKNOWN, rs_tag_delete(f->registry, RS_STR(REPO), RS_STR("x-free"), &f->err));
    /* Who acts for the operator may. */
    assert_ok(f, rs_tag_remove(f->registry, RS_STR(REPO), RS_STR("v1"), &digest, NULL, &f->err));
    assert_ok(f, rs_manifest_delete(f->registry, RS_STR(REPO), &digest, NULL, NULL, &f->err));
}

/* --- at once --- */

#define THREADS 8

struct racer {
    struct fixture *f; /* its process */
    int number;
    rs_rc rc;
};

static void *push_a_version(void *arg)
{
    struct racer *r = arg;
    struct fixture own = *r->f; /* an error of its own */
    RS_AUTO(rs_free_ptr) char *json = other_json(r->number);
    r->rc = try_put(&own, REPO, "v1", json, NULL);
    return NULL;
}

/* In two processes, as it were: one wins, and the tag is the winner's. */
static void one_of_many_pushes_wins(void **state)
{
    struct fixture *f = *state;
    struct fixture *second = fixture_second(f);
    fixture_reopen(second, &config);
    for (int round = 0; round < 20; round++) {
        struct racer racers[THREADS];
        pthread_t threads[THREADS];
        int winner = -1;
        for (int i = 0; i < THREADS; i++) {
            racers[i] = (struct racer){i % 2 == 0 ? f : second, i, RS_OK};
            assert_int_equal(rs_thread_start(&threads[i], push_a_version, &racers[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            assert_true(racers[i].rc == RS_OK || racers[i].rc == RS_E_DENIED);
            if (racers[i].rc == RS_OK) {
                assert_int_equal(winner, -1);
                winner = i;
            }
        }
        assert_int_not_equal(winner, -1);
        RS_AUTO(rs_free_ptr) char *json = other_json(winner);
        assert_manifest(f, REPO, "v1", json);
        assert_ok(f, rs_tag_remove(f->registry, RS_STR(REPO), RS_STR("v1"), NULL, NULL, &f->err));
    }
    fixture_second_free(&second);
}

static void *push_untagged_then_tag(void *arg)
{
    return push_a_version(arg);
}

static void *delete_the_manifest(void *arg)
{
    struct racer *r = arg;
    struct fixture own = *r->f;
    RS_AUTO(rs_free_ptr) char *json = other_json(r->number);
    struct rs_digest digest = digest_of(json);
    r->rc = rs_manifest_delete(own.registry, RS_STR(REPO), &digest, NULL, NULL, &own.err);
    return NULL;
}

/* A push that was answered has its tag, and the tag has its manifest, whatever a delete does meanwhile. */
static void a_delete_and_a_push_at_once(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 60; round++) {
        struct racer racers[2] = {{f, round, RS_OK}, {f, round, RS_OK}};
        pthread_t threads[2];
        RS_AUTO(rs_free_ptr) char *json = other_json(round);
        struct rs_digest digest = digest_of(json);
        assert_ok(f, try_put(f, REPO, digest.text, json, NULL));
        assert_int_equal(rs_thread_start(&threads[0], push_untagged_then_tag, &racers[0]), 0);
        assert_int_equal(rs_thread_start(&threads[1], delete_the_manifest, &racers[1]), 0);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        assert_int_equal(racers[0].rc, RS_OK);
        assert_manifest(f, REPO, "v1", json);
        assert_manifest(f, REPO, digest.text, json);
        assert_ok(f, rs_tag_remove(f->registry, RS_STR(REPO), RS_STR("v1"), NULL, NULL, &f->err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matching),
        cmocka_unit_test_setup_teardown(another_manifest_is_refused_and_leaves_nothing, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(tags_named_beside_a_digest_are_bound_too, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(both_conditions_must_hold, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_move_itself_is_guarded, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(deletes_are_refused, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(one_of_many_pushes_wins, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_delete_and_a_push_at_once, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
