/* SPDX-License-Identifier: Apache-2.0 */
/* Which uploads are abandoned, and which are not. */
#include "fixture.h"

#include <pthread.h>

#include "base/mem.h"

#define HOUR 3600
#define OLD "11111111-1111-4111-8111-111111111111"

static bool always(void *ctx)
{
    (void)ctx;
    return true;
}

static struct rs_upload_purged purge(struct fixture *f, bool dry_run)
{
    struct rs_upload_purged found;
    const struct rs_upload_purge purge = {.age_s = 24 * HOUR, .dry_run = dry_run, .goes_on = always};
    assert_ok(f, rs_upload_purge(f->registry, &purge, &found, &f->err));
    return found;
}

/* Makes one that began and was written to so many seconds ago; NULL startedat: without that file. */
static void make(struct fixture *f, const char *repository, int began, int written)
{
    char path[400], text[RS_RFC3339_SIZE];
    snprintf(path, sizeof path, "repositories/%s/_uploads/" OLD "/startedat", repository);
    rs_rfc3339(rs_wall_s() - began, text);
    fixture_write_c(f, path, text);
    snprintf(path, sizeof path, "repositories/%s/_uploads/" OLD "/data", repository);
    fixture_write_c(f, path, "bytes");
    fixture_age(f, path, written);
}

static bool is_there(struct fixture *f, const char *repository)
{
    char path[400];
    snprintf(path, sizeof path, "repositories/%s/_uploads/" OLD, repository);
    return fixture_exists(f, path);
}

static void test_both_times_count(void **state)
{
    struct fixture *f = *state;
    make(f, "old", 25 * HOUR, 25 * HOUR);
    make(f, "young", 23 * HOUR, 23 * HOUR);
    make(f, "grows", 1000 * HOUR, 2 * HOUR);
    make(f, "future", -1000 * HOUR, -1000 * HOUR);
    make(f, "a/b/c/d/deep", 25 * HOUR, 25 * HOUR);
    push_image(f, "old", "v1", "config", "layer"); /* a repository that is in use */
    struct rs_upload_purged found = purge(f, true);
    assert_int_equal(found.removed, 2);
    assert_true(is_there(f, "old") && is_there(f, "a/b/c/d/deep"));
    found = purge(f, false);
    assert_int_equal(found.removed, 2);
    assert_int_equal(found.uploads, 5);
    assert_int_equal(found.repositories, 5);
    assert_int_equal(found.failed, 0);
    assert_false(is_there(f, "old") || is_there(f, "a/b/c/d/deep"));
    assert_true(is_there(f, "young") && is_there(f, "grows") && is_there(f, "future"));
    assert_int_equal(purge(f, false).removed, 0);
}

/* What a crash leaves has no file that tells: the time of its directory does. */
static void test_what_is_left_of_an_upload(void **state)
{
    struct fixture *f = *state;
    make(f, "torn", 0, 0);
    fixture_write_c(f, "repositories/torn/_uploads/" OLD "/startedat", "not a ti");
    make(f, "no-begin", 0, 0);
    fixture_remove(f, "repositories/no-begin/_uploads/" OLD "/startedat");
    make(f, "no-data", 25 * HOUR, 0);
    fixture_remove(f, "repositories/no-data/_uploads/" OLD "/data");
    make(f, "fresh", 0, 0);
    fixture_remove(f, "repositories/fresh/_uploads/" OLD "/startedat");
    fixture_age(f, "repositories/torn/_uploads/" OLD "/data", 25 * HOUR);
    fixture_age(f, "repositories/no-begin/_uploads/" OLD "/data", 25 * HOUR);
    fixture_age(f, "repositories/torn/_uploads/" OLD, 25 * HOUR);
    fixture_age(f, "repositories/no-begin/_uploads/" OLD, 25 * HOUR);
    assert_int_equal(purge(f, false).removed, 3);
    assert_true(is_there(f, "fresh"));
}

static void test_what_is_no_upload_stays(void **state)
{
    struct fixture *f = *state;
    static const char *const paths[] = {"repositories/r/_uploads/readme", "repositories/r/_uploads/some-directory/file",
                                        "repositories/r/_roadstead/_uploads/" OLD "/data",
                                        "repositories/_uploads/" OLD "/data",
                                        "repositories/UPPER/_uploads/" OLD "/data"};
    for (size_t i = 0; i < RS_COUNT(paths); i++) {
        fixture_write_c(f, paths[i], "x");
        fixture_age(f, paths[i], 1000 * HOUR);
    }
    assert_int_equal(purge(f, false).removed, 0);
    for (size_t i = 0; i < RS_COUNT(paths); i++)
        assert_true(fixture_exists(f, paths[i]));
}

static void test_a_writer_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = fixture_second(f);
    struct rs_upload *upload;
    make(f, "r", 25 * HOUR, 25 * HOUR);
    assert_ok(g, rs_upload_open(g->registry, RS_STR("r"), RS_STR(OLD), RS_SHA256, &upload, &g->err));
    assert_int_equal(purge(f, false).removed, 0); /* it has not written yet, but holds it */
    assert_ok(g, rs_upload_write(upload, "more", 4, &g->err));
    rs_upload_suspend(&upload);
    assert_int_equal(purge(f, false).removed, 0); /* now it has */
    assert_ok(g, rs_upload_open(g->registry, RS_STR("r"), RS_STR(OLD), RS_SHA256, &upload, &g->err));
    struct rs_digest digest = digest_of("bytesmore");
    assert_ok(g, rs_upload_commit(&upload, &digest, &g->err));
    fixture_second_free(&g);
}

static void test_one_that_cannot_be_removed_does_not_keep_the_others(void **state)
{
    struct fixture *f = *state;
    struct rs_upload_purged found;
    const struct rs_upload_purge purge = {.age_s = 24 * HOUR, .goes_on = always};
    make(f, "a", 25 * HOUR, 25 * HOUR);
    make(f, "b", 25 * HOUR, 25 * HOUR);
    make(f, "c", 25 * HOUR, 25 * HOUR);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("remove:nth=2"), &f->err));
    assert_ok(f, rs_upload_purge(f->registry, &purge, &found, &f->err));
    assert_int_equal(found.removed, 2);
    assert_int_equal(found.failed, 1);
    assert_non_null(strstr(f->err.text, "made to fail"));
    rs_storage_faulty_clear(f->storage);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:nth=1"), &f->err));
    assert_rc(f, RS_E_IO, rs_upload_purge(f->registry, &purge, &found, &f->err));
}

static bool three_times(void *ctx)
{
    int *left = ctx;
    return --*left > 0;
}

static void test_it_ends_when_it_is_told_to(void **state)
{
    struct fixture *f = *state;
    struct rs_upload_purged found;
    int left = 3;
    const struct rs_upload_purge purge = {.age_s = 24 * HOUR, .goes_on = three_times, .ctx = &left};
    char name[20];
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "r%d", i);
        make(f, name, 25 * HOUR, 25 * HOUR);
    }
    assert_ok(f, rs_upload_purge(f->registry, &purge, &found, &f->err));
    assert_true(found.removed > 0 && found.removed < 5);
}

/* The deepest name that there can be, on the stack of an ordinary thread. */
static void *purge_deep(void *arg)
{
    struct fixture *f = arg;
    struct rs_upload_purged found;
    const struct rs_upload_purge purge = {.age_s = 24 * HOUR, .goes_on = always};
    assert_ok(f, rs_upload_purge(f->registry, &purge, &found, &f->err));
    assert_int_equal(found.removed, 1);
    return NULL;
}

static void test_a_name_of_many_parts(void **state)
{
    struct fixture *f = *state;
    char name[RS_NAME_MAX + 1] = "a";
    pthread_t thread;
    for (size_t i = 1; i + 1 < RS_NAME_MAX; i += 2)
        memcpy(name + i, "/a", 3);
    make(f, name, 25 * HOUR, 25 * HOUR);
    assert_int_equal(pthread_create(&thread, NULL, purge_deep, f), 0);
    pthread_join(thread, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_both_times_count),
        TEST(test_what_is_left_of_an_upload),
        TEST(test_what_is_no_upload_stays),
        TEST(test_a_writer_is_left_alone),
        TEST(test_one_that_cannot_be_removed_does_not_keep_the_others),
        TEST(test_it_ends_when_it_is_told_to),
        TEST(test_a_name_of_many_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
