/* SPDX-License-Identifier: Apache-2.0 */
/* The check on a storage that fails, that fills up, and that others write to meanwhile. */
#include "checked.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"

static const char *const layers[] = {"layer"};

/* One of everything that can be mended, beside an image that is whole. */
static void make_damage(struct fixture *f)
{
    struct rs_digest corrupt = push_text(f, "r", "corrupt"), dangling = push_text(f, "r", "dangling");
    struct rs_digest unlinked = push_image(f, "r", "unlinked", "config", "layer 2"), layer2 = digest_of("layer 2");
    struct rs_digest lost = push_image(f, "r", "lost", "config", "layer 3");
    push_image(f, "r", "v1", "config", "layer");
    fixture_write_c(f, data_path(&corrupt), "CORRUPT");
    make_old(f, data_path(&corrupt));
    fixture_remove(f, data_path(&dangling));
    make_old(f, layer_path("r", &dangling));
    make_old(f, layer_path("r", &corrupt));
    fixture_remove(f, layer_path("r", &layer2));
    fixture_write_c(f, revision_path("r", &unlinked), "?");
    make_old(f, revision_path("r", &unlinked));
    fixture_remove(f, data_path(&lost));
}

static void assert_mended(struct fixture *f)
{
    RS_AUTO(rs_free_ptr) char *json = image_json("config", layers, 1);
    RS_AUTO(checked_release) struct checked repair = {0};
    RS_AUTO(checked_release) struct checked again = {0};
    rs_storage_faulty_clear(f->storage);
    check_storage(f, "r", &repair);
    assert_int_equal(repair.rc, RS_OK);
    check_storage(f, "r", &again);
    assert_told(&again, "");
    assert_manifest(f, "r", "v1", json);
}

static void fail_each(struct fixture *f, const char *call, unsigned step)
{
    char plan[80];
    bool failed = true;
    for (unsigned nth = 1; failed; nth += step) {
        RS_AUTO(checked_release) struct checked c = {0};
        make_damage(f);
        rs_storage_faulty_clear(f->storage);
        snprintf(plan, sizeof plan, "%s:nth=%u:error=%s", call, nth, nth % 2 == 0 ? "IO" : "STORAGE_FULL");
        assert_ok(f, rs_storage_faulty_parse(f->storage, rs_str_c(plan), &f->err));
        check_storage(f, "r", &c);
        failed = rs_storage_faulty_failures(f->storage) > 0;
        assert_int_equal(c.rc, RS_OK);
        assert_true(c.counts.complete);
        assert_mended(f);
    }
}

static void test_any_listing_may_fail(void **state)
{
    fail_each(*state, "list", 3);
}

static void test_any_read_may_fail(void **state)
{
    fail_each(*state, "read", 1);
}

static void test_any_look_may_fail(void **state)
{
    fail_each(*state, "stat", 3);
}

static void test_any_opening_may_fail(void **state)
{
    fail_each(*state, "open", 2);
}

static void test_any_write_may_fail(void **state)
{
    fail_each(*state, "put", 1);
    fail_each(*state, "move", 1);
    fail_each(*state, "sync", 1);
}

static void test_any_removal_may_fail(void **state)
{
    fail_each(*state, "remove", 1);
}

/* Nothing is lost on a disk on which nothing can be written. */
static void test_a_full_disk(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(checked_release) struct checked c = {0};
    make_damage(f);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("put:error=STORAGE_FULL;append_create:error=STORAGE_FULL"),
                                         &f->err));
    check_storage(f, "r", &c);
    struct rs_digest corrupt = digest_of("corrupt");
    assert_true(fixture_exists(f, data_path(&corrupt)));
    assert_true(c.counts.errors > 0);
    assert_mended(f);
}

/* A blob that the disk does not give is not corrupt. */
static void test_what_cannot_be_read_stays(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(checked_release) struct checked c = {0};
    struct rs_digest digest = push_text(f, "r", "bytes");
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("open:error=IO"), &f->err));
    check_storage(f, "r", &c);
    assert_told(&c, "unreadable stays  ");
    assert_true(fixture_exists(f, data_path(&digest)));
}

static void test_a_storage_that_is_gone_ends_it(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(checked_release) struct checked c = {0};
    make_damage(f);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:nth=3:times=1000:error=UNAVAILABLE"), &f->err));
    check_storage(f, "r", &c);
    assert_int_equal(c.rc, RS_E_UNAVAILABLE);
    assert_false(c.counts.complete);
    rs_storage_faulty_clear(f->storage);
}

/* --- others write --- */

static void *write_whole(void *arg)
{
    struct fixture *f = arg;
    struct rs_digest digest = digest_of("bytes");
    struct rs_err err;
    char path[600];
    nanosleep(&(struct timespec){.tv_nsec = 200 * 1000000}, NULL);
    snprintf(path, sizeof path, "/docker/registry/v2/%s", data_path(&digest));
    return rs_storage_put(f->storage, path, RS_STR("bytes"), NULL, &err) == RS_OK ? f : NULL;
}

/* It is replaced between the last look at it and the rename. */
static void test_a_whole_one_is_put_back(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    void *written;
    RS_AUTO(checked_release) struct checked c = {0};
    struct rs_digest digest = push_text(f, "r", "bytes");
    fixture_write_c(f, data_path(&digest), "BYTES");
    make_old(f, data_path(&digest));
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("move:nth=1:delay=700"), &f->err));
    assert_int_equal(pthread_create(&thread, NULL, write_whole, f), 0);
    check_storage(f, "r", &c);
    pthread_join(thread, &written);
    assert_non_null(written);
    assert_told(&c, "");
    RS_AUTO(rs_free_ptr) char *text = blob_text(f, "r", &digest);
    assert_string_equal(text, "bytes");
}

struct pusher {
    struct fixture *f;
    atomic_bool stop;
    unsigned pushed;
};

static void *push_on(void *arg)
{
    struct pusher *p = arg;
    for (; !atomic_load(&p->stop) || p->pushed < 10; p->pushed++) {
        char layer[40], tag[40];
        snprintf(layer, sizeof layer, "layer %u", p->pushed);
        snprintf(tag, sizeof tag, "t%u", p->pushed);
        push_image(p->f, "r", tag, "config", layer);
        if (p->pushed % 3 == 0) { /* empty repositories come and go as well */
            snprintf(tag, sizeof tag, "g/n%u", p->pushed);
            push_text(p->f, tag, layer);
        }
    }
    return NULL;
}

static void test_pushes_are_not_hurt(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    struct pusher p = {.f = fixture_second(f)};
    make_damage(f);
    assert_int_equal(pthread_create(&thread, NULL, push_on, &p), 0);
    for (int i = 0; i < 15; i++) {
        RS_AUTO(checked_release) struct checked c = {0};
        struct rs_digest dangling = push_text(f, "r", "dangling");
        fixture_remove(f, data_path(&dangling));
        make_old(f, layer_path("r", &dangling));
        check_storage(f, "r", &c);
        assert_int_equal(c.rc, RS_OK);
    }
    atomic_store(&p.stop, true);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < p.pushed; i++) {
        char layer[40], tag[40];
        snprintf(layer, sizeof layer, "layer %u", i);
        snprintf(tag, sizeof tag, "t%u", i);
        const char *const one[] = {layer};
        RS_AUTO(rs_free_ptr) char *json = image_json("config", one, 1);
        struct rs_digest digest = digest_of(layer);
        assert_manifest(f, "r", tag, json);
        RS_AUTO(rs_free_ptr) char *text = blob_text(f, "r", &digest);
        assert_string_equal(text, layer);
    }
    fixture_second_free(&p.f);
    assert_mended(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_any_listing_may_fail),
        TEST(test_any_read_may_fail),
        TEST(test_any_look_may_fail),
        TEST(test_any_opening_may_fail),
        TEST(test_any_write_may_fail),
        TEST(test_any_removal_may_fail),
        TEST(test_a_full_disk),
        TEST(test_what_cannot_be_read_stays),
        TEST(test_a_storage_that_is_gone_ends_it),
        TEST(test_a_whole_one_is_put_back),
        TEST(test_pushes_are_not_hurt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
