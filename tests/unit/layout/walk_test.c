/* SPDX-License-Identifier: Apache-2.0 */
#include "layout/walk.h"

#include "../registry/fixture.h"
#include "base/mem.h"

struct seen {
    struct rs_buf names;
    size_t max; /* stops after that many */
    size_t count;
};

static bool visit_repository(void *ctx, rs_str name, unsigned parts)
{
    struct seen *seen = ctx;
    rs_buf_printf(&seen->names, " " RS_STR_FMT "=%u", RS_STR_ARG(name), parts);
    return ++seen->count < seen->max;
}

static bool visit_digest(void *ctx, const struct rs_digest *digest)
{
    struct seen *seen = ctx;
    rs_buf_printf(&seen->names, " %s", digest->text);
    return ++seen->count < seen->max;
}

static void has(struct seen *seen, const char *what)
{
    if (strstr(rs_buf_z(&seen->names), what) == NULL)
        fail_msg("%s is not in%s", what, rs_buf_z(&seen->names));
}

static void test_repositories_with_their_parts(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.max = SIZE_MAX};
    rs_buf_init(&seen.names, 4096);
    push_image(f, "a", "v1", "c", "l");
    push_text(f, "a/b/c", "blob");
    fixture_write_c(f, "repositories/d/_roadstead/x", "");
    fixture_write_c(f, "repositories/e/notes.txt", "");
    fixture_write_c(f, "repositories/Upper/_layers/x", ""); /* no name */
    fixture_write_c(f, "repositories/_layers/x", "");
    assert_ok(f, rs_repositories_walk(f->storage, visit_repository, &seen, &f->err));
    has(&seen, " a=7");
    has(&seen, " a/b/c=5");
    has(&seen, " d=8");
    assert_int_equal(seen.count, 3);
    rs_buf_release(&seen.names);
}

static void test_ends_when_told(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.max = 1};
    rs_buf_init(&seen.names, 4096);
    push_text(f, "a", "1");
    push_text(f, "a/b", "2");
    push_text(f, "c", "3");
    assert_ok(f, rs_repositories_walk(f->storage, visit_repository, &seen, &f->err));
    assert_int_equal(seen.count, 1);
    rs_buf_release(&seen.names);
}

static void test_a_listing_that_breaks_off_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.max = SIZE_MAX};
    rs_buf_init(&seen.names, 4096);
    push_text(f, "a/b", "1");
    assert_int_equal(rs_storage_faulty_parse(f->storage, RS_STR("list:nth=2:fail-at-byte=0:error=IO"), NULL), RS_OK);
    assert_rc(f, RS_E_IO, rs_repositories_walk(f->storage, visit_repository, &seen, &f->err));
    rs_buf_release(&seen.names);
}

static void test_digests(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.max = SIZE_MAX};
    struct rs_path path;
    rs_buf_init(&seen.names, 4096);
    struct rs_digest one = push_text(f, "a", "1"), two = push_text(f, "a", "2");
    fixture_write_c(f, "repositories/a/_layers/sha256/nothing/link", "");
    fixture_write_c(f, "repositories/a/_layers/sha256/file", "");
    rs_path_layer_link(&path, RS_STR("a"), &one);
    rs_path_parent(&path);
    rs_path_parent(&path);
    assert_ok(f, rs_digests_walk(f->storage, path.z, RS_SHA256, visit_digest, &seen, &f->err));
    has(&seen, one.text);
    has(&seen, two.text);
    assert_int_equal(seen.count, 2);
    assert_ok(f, rs_digests_walk(f->storage, "/nowhere", RS_SHA512, visit_digest, &seen, &f->err));
    assert_int_equal(seen.count, 2);
    rs_buf_release(&seen.names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_repositories_with_their_parts, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_ends_when_told, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_listing_that_breaks_off_is_an_error, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_digests, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
