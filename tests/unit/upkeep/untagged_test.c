/* SPDX-License-Identifier: Apache-2.0 */
/* Collections of manifests that nothing leads to (-m), and how one that was stopped goes on. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "collected.h"

#define AUTO_COLLECTED RS_AUTO(collected_release) struct collected
#define CHILDREN(...) ((const struct rs_digest *const[]){__VA_ARGS__})

static void an_index_keeps_its_children(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest a = push_untagged(f, "app", "a", "layer a"), b = push_untagged(f, "app", "b", "layer b");
    struct rs_digest inner = push_index(f, "app", NULL, CHILDREN(&a), 1, NULL);
    struct rs_digest outer = push_index(f, "app", "multi", CHILDREN(&inner, &b), 2, NULL);
    struct rs_digest lone = push_untagged(f, "app", "c", "layer c");
    all_is_old(f);
    collect_all(f, "m", &c);
    assert_string_equal(removed(&c), "1 2 3");
    assert_true(has_image(f, "app", &outer) && has_image(f, "app", &inner) && has_image(f, "app", &a));
    assert_false(fixture_exists(f, revision_path("app", &lone)));
}

static void an_untagged_index_goes_with_its_children(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest a = push_untagged(f, "app", "a", "layer a"), b = push_image(f, "app", "b", "b", "layer b");
    struct rs_digest index = push_index(f, "app", NULL, CHILDREN(&a, &b), 2, NULL);
    all_is_old(f);
    collect_all(f, "m", &c);
    assert_string_equal(removed(&c), "2 2 4");
    assert_false(has_data(f, &index) || has_data(f, &a));
    assert_true(has_image(f, "app", &b));
}

static void referrers_stay_with_their_subject(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest image = push_image(f, "app", "1", "config", "layer");
    struct rs_digest signature = push_referrer(f, "app", NULL, "signature", &image);
    struct rs_digest second = push_referrer(f, "app", NULL, "signature of the signature", &signature);
    struct rs_digest other = push_untagged(f, "app", "other", "other layer");
    struct rs_digest stray = push_referrer(f, "app", NULL, "stray", &other);
    all_is_old(f);
    collect_all(f, "m", &c);
    assert_true(has_image(f, "app", &image) && has_image(f, "app", &signature) && has_image(f, "app", &second));
    assert_false(has_data(f, &other) || has_data(f, &stray));
    assert_string_equal(removed(&c), "2 3 5");
}

static void a_tagged_referrer_keeps_its_subject(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest image = push_untagged(f, "app", "config", "layer");
    struct rs_digest signature = push_referrer(f, "app", "sig", "signature", &image);
    all_is_old(f);
    collect_all(f, "m", &c);
    assert_string_equal(removed(&c), "0 0 0");
    assert_true(has_image(f, "app", &image) && has_image(f, "app", &signature));
}

static void a_young_manifest_stays_with_what_it_needs(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest a = push_untagged(f, "app", "a", "layer a"), subject = push_untagged(f, "app", "s", "layer s");
    struct rs_digest index = push_index(f, "app", NULL, CHILDREN(&a), 1, &subject);
    all_is_old(f);
    fixture_age(f, revision_path("app", &index), FIXTURE_GRACE_S / 2);
    collect_all(f, "m", &c);
    assert_string_equal(removed(&c), "0 0 0");
    assert_true(has_image(f, "app", &index) && has_image(f, "app", &subject));
}

/* An index that is about its own child has no order of removal. */
static void a_circle_stays(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest a = push_untagged(f, "app", "a", "layer a");
    struct rs_digest index = push_index(f, "app", NULL, CHILDREN(&a), 1, &a);
    all_is_old(f);
    collect_all(f, "m", &c);
    assert_string_equal(removed(&c), "0 0 0");
    assert_true(has_image(f, "app", &index));
}

static void a_deep_chain_goes_at_once(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest chain[20];
    char config[32];
    chain[0] = push_untagged(f, "app", "config", "layer");
    for (unsigned i = 1; i < RS_COUNT(chain); i++) {
        snprintf(config, sizeof config, "signature %u", i);
        chain[i] = push_referrer(f, "app", NULL, config, &chain[i - 1]);
    }
    all_is_old(f);
    collect_all(f, "m", &c);
    assert_int_equal(c.report.removed[RS_REMOVE_MANIFEST], RS_COUNT(chain));
    for (unsigned i = 0; i < RS_COUNT(chain); i++)
        assert_false(has_data(f, &chain[i]));
}

/* --- stopped --- */

static void it_goes_on_wherever_it_was_stopped(void **state)
{
    struct fixture *f = *state;
    bool resumed = false;
    for (unsigned step = 1; step < 4000; step += 1 + step / 6) {
        AUTO_COLLECTED c = {.stop_after = step};
        struct rs_digest kept = push_image(f, "app", "1", "config", "layer");
        struct rs_digest a = push_untagged(f, "app", "a", "layer a"), loose = push_text(f, "other/app", "loose");
        struct rs_digest index = push_index(f, "app", NULL, CHILDREN(&a), 1, NULL);
        all_is_old(f);
        collect(f, "m", &c);
        assert_int_equal(c.rc, RS_OK);
        bool complete = c.report.complete;
        c.stop_after = 0;
        collect_all(f, "m", &c);
        resumed = resumed || c.report.resumed;
        assert_true(has_image(f, "app", &kept));
        assert_false(has_data(f, &a) || has_data(f, &index) || has_data(f, &loose) || has_link(f, "other/app", &loose));
        if (complete) {
            assert_true(resumed);
            return;
        }
    }
    fail();
}

/* Between the marking and the removal somebody comes to rely on a manifest. */
static void what_was_spared_keeps_what_it_needs(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {.stop_when_planned = true};
    struct rs_digest a = push_untagged(f, "app", "a", "layer a"), b = push_untagged(f, "app", "b", "layer b");
    struct rs_digest index = push_index(f, "app", NULL, CHILDREN(&a), 1, NULL);
    struct rs_digest signature = push_referrer(f, "app", NULL, "signature", &index);
    all_is_old(f);
    collect(f, "m", &c);
    assert_int_equal(c.rc, RS_OK);
    assert_false(c.report.complete);
    assert_int_equal(c.report.eligible[RS_REMOVE_MANIFEST], 4);
    fixture_age(f, revision_path("app", &index), 1);
    c = (struct collected){.told = c.told};
    collect_all(f, "m", &c);
    assert_true(c.report.resumed);
    assert_true(has_image(f, "app", &index) && has_image(f, "app", &a) && has_image(f, "app", &signature));
    assert_false(has_data(f, &b));
    assert_string_equal(removed(&c), "1 2 3");
}

/* The same, when the run was killed behind the manifests. */
static void what_was_spared_stays_so_when_it_goes_on(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {.stop_when_planned = true};
    struct rs_digest image = push_untagged(f, "app", "a", "layer a");
    all_is_old(f);
    collect(f, "m", &c);
    fixture_age(f, revision_path("app", &image), 1);
    c = (struct collected){.told = c.told};
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("put:nth=4:times=99"), &f->err));
    collect(f, "m", &c);
    rs_storage_faulty_clear(f->storage);
    collect_all(f, "m", &c);
    assert_true(has_image(f, "app", &image));
}

static void other_flags_mark_again(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {.stop_when_planned = true};
    struct rs_digest image = push_untagged(f, "app", "a", "layer a");
    all_is_old(f);
    collect(f, "m", &c);
    c = (struct collected){.told = c.told};
    collect_all(f, "", &c);
    assert_false(c.report.resumed);
    assert_true(has_image(f, "app", &image));
    assert_string_equal(removed(&c), "0 0 0");
}

static void a_server_with_a_longer_grace_throws_the_plan_away(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {.stop_when_planned = true};
    push_text(f, "app", "loose");
    all_is_old(f);
    collect(f, "", &c);
    rs_collect_forget(f->storage, FIXTURE_GRACE_S);
    rs_collect_forget(f->storage, FIXTURE_GRACE_S + 1);
    c = (struct collected){.told = c.told};
    collect_all(f, "", &c);
    assert_false(c.report.resumed);
    assert_string_equal(removed(&c), "0 1 1");
}

static void a_plan_that_is_not_whole_counts_for_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const parts[] = {"plan", "plan-links", "plan-blobs"};
    for (size_t i = 0; i < RS_COUNT(parts); i++) {
        AUTO_COLLECTED c = {.stop_when_planned = true};
        char path[100];
        push_text(f, "app", "loose");
        all_is_old(f);
        collect(f, "", &c);
        snprintf(path, sizeof path, "../../../roadstead/v1/collector/%s", parts[i]);
        assert_true(fixture_exists(f, path));
        fixture_write_c(f, path, "roadstead-plan 1\nlink app sha256:00\n");
        c = (struct collected){.told = c.told};
        collect_all(f, "", &c);
        assert_false(c.report.resumed);
        assert_string_equal(removed(&c), "0 1 1");
        assert_false(fixture_exists(f, path));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_index_keeps_its_children),
        TEST(an_untagged_index_goes_with_its_children),
        TEST(referrers_stay_with_their_subject),
        TEST(a_tagged_referrer_keeps_its_subject),
        TEST(a_young_manifest_stays_with_what_it_needs),
        TEST(a_circle_stays),
        TEST(a_deep_chain_goes_at_once),
        TEST(it_goes_on_wherever_it_was_stopped),
        TEST(what_was_spared_keeps_what_it_needs),
        TEST(what_was_spared_stays_so_when_it_goes_on),
        TEST(other_flags_mark_again),
        TEST(a_server_with_a_longer_grace_throws_the_plan_away),
        TEST(a_plan_that_is_not_whole_counts_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
