/* SPDX-License-Identifier: Apache-2.0 */
#include "../registry/fixture.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "layout/link.h"

#define LINK "/docker/registry/v2/x/link"

static void test_reads(void **state)
{
    struct fixture *f = *state;
    struct rs_digest want = digest_of("a"), got;
    char text[256];
    assert_rc(f, RS_E_NOT_FOUND, rs_link_read(f->storage, LINK, &got, &f->err));
    const char *const ends[] = {"", "\n", "\r\n", " \t\n\n"};
    for (size_t i = 0; i < RS_COUNT(ends); i++) {
        snprintf(text, sizeof text, "%s%s", want.text, ends[i]);
        fixture_write_c(f, "x/link", text);
        assert_ok(f, rs_link_read(f->storage, LINK, &got, &f->err));
        assert_string_equal(got.text, want.text);
    }
}

static void test_broken_at_once(void **state)
{
    struct fixture *f = *state;
    struct rs_digest got;
    char text[1024];
    int64_t start = rs_mono_ms();
    memset(text, 'a', sizeof text);
    fixture_write(f, "x/link", text, 100);
    assert_rc(f, RS_E_CORRUPT, rs_link_read(f->storage, LINK, &got, &f->err));
    fixture_write(f, "x/link", text, sizeof text);
    assert_rc(f, RS_E_CORRUPT, rs_link_read(f->storage, LINK, &got, &f->err));
    fixture_write(f, "x/link", "", 0);
    fixture_age(f, "x/link", 60); /* nobody is writing that any more */
    assert_rc(f, RS_E_CORRUPT, rs_link_read(f->storage, LINK, &got, &f->err));
    assert_int_equal(f->err.rc, RS_E_CORRUPT);
    assert_true(rs_mono_ms() - start < 900);
}

static void test_young_and_cut_stays_cut(void **state)
{
    struct fixture *f = *state;
    struct rs_digest got;
    fixture_write_c(f, "x/link", "sha256:abc");
    int64_t start = rs_mono_ms();
    assert_rc(f, RS_E_CORRUPT, rs_link_read(f->storage, LINK, &got, &f->err));
    int64_t took = rs_mono_ms() - start;
    assert_true(took >= 1000 && took < 2500);
}

struct writer {
    struct fixture *f;
    const char *text;
};

/* As registry:2: truncates, and writes a moment later. */
static void *write_late(void *arg)
{
    struct writer *w = arg;
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000000}, NULL);
    fixture_write(w->f, "x/link", w->text, 40);
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000000}, NULL);
    fixture_write_c(w->f, "x/link", w->text);
    return NULL;
}

static void test_waits_for_the_writer(void **state)
{
    struct fixture *f = *state;
    struct rs_digest got;
    pthread_t thread;
    for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
        struct rs_digest want;
        rs_digest_of((enum rs_hash_alg)alg, "late", 4, &want);
        struct writer w = {f, want.text};
        fixture_write(f, "x/link", "", 0);
        assert_int_equal(pthread_create(&thread, NULL, write_late, &w), 0);
        rs_rc rc = rs_link_read(f->storage, LINK, &got, &f->err);
        pthread_join(thread, NULL);
        assert_ok(f, rc);
        assert_string_equal(got.text, want.text);
    }
}

static void test_follow(void **state)
{
    struct fixture *f = *state;
    struct rs_digest a = digest_of("a"), b = digest_of("b"), long_a, got;
    char text[256];
    rs_digest_of(RS_SHA512, "a", 1, &long_a);
    assert_rc(f, RS_E_NOT_FOUND, rs_link_follow(f->storage, LINK, &a, &got, &f->err));
    fixture_write_c(f, "x/link", a.text);
    assert_ok(f, rs_link_follow(f->storage, LINK, &a, &got, &f->err));
    assert_string_equal(got.text, a.text);
    assert_ok(f, rs_link_follow(f->storage, LINK, &long_a, &got, &f->err)); /* registry:2's alias */
    assert_string_equal(got.text, a.text);
    snprintf(text, sizeof text, "%s\n", a.text);
    fixture_write_c(f, "x/link", text);
    assert_ok(f, rs_link_follow(f->storage, LINK, &a, &got, &f->err));
    assert_string_equal(got.text, a.text);
    assert_rc(f, RS_E_CORRUPT, rs_link_follow(f->storage, LINK, &b, &got, &f->err));
}

static void assert_link(struct fixture *f, const char *text)
{
    RS_AUTO(rs_free_ptr) char *content = fixture_read(f, "x/link");
    assert_string_equal(content, text);
}

static void test_ensure(void **state)
{
    struct fixture *f = *state;
    struct rs_digest a = digest_of("a"), b = digest_of("b");
    struct rs_storage_batch batch;
    bool made = false;
    rs_storage_batch_init(&batch);
    assert_ok(f, rs_link_ensure(f->storage, LINK, &a, &batch, &made, &f->err));
    assert_true(made);
    assert_link(f, a.text);
    assert_ok(f, rs_storage_sync(f->storage, &batch, &f->err));
    rs_storage_faulty_clear(f->storage);
    assert_ok(f, rs_link_ensure(f->storage, LINK, &a, &batch, &made, &f->err));
    assert_false(made);
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_PUT), 0);
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_KEEP), 1);
    const char *const wrong[] = {
        b.text, "", "sha256:", "rubbish of more than seventy-one bytes, which is no digest at all, but has bytes"};
    for (size_t i = 0; i < RS_COUNT(wrong); i++) {
        fixture_write_c(f, "x/link", wrong[i]);
        assert_ok(f, rs_link_ensure(f->storage, LINK, &a, &batch, &made, &f->err));
        assert_true(made);
        assert_link(f, a.text);
    }
    assert_ok(f, rs_storage_sync(f->storage, &batch, &f->err));
    rs_storage_batch_release(&batch);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reads),
        TEST(test_broken_at_once),
        TEST(test_young_and_cut_stays_cut),
        TEST(test_waits_for_the_writer),
        TEST(test_follow),
        TEST(test_ensure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
