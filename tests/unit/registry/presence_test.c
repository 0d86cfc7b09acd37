/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/presence.h"

#include "base/clock.h"
#include "base/mem.h"
#include "fixture.h"
#include "layout/paths.h"

static size_t count_servers(struct fixture *f, int64_t *out_grace_s)
{
    size_t servers;
    assert_ok(f, rs_presence_count(f->storage, &servers, out_grace_s, &f->err));
    return servers;
}

static void test_servers_are_counted_while_they_live(void **state)
{
    struct fixture *f = *state;
    int64_t grace_s;
    assert_int_equal(count_servers(f, &grace_s), 0);
    assert_int_equal(grace_s, 0);
    struct rs_presence *one = rs_presence_new(f->storage, 60), *two = rs_presence_new(f->storage, 90);
    assert_ok(f, rs_presence_ensure(one, &f->err));
    assert_ok(f, rs_presence_ensure(two, &f->err));
    assert_ok(f, rs_presence_ensure(two, &f->err)); /* once is enough */
    assert_int_equal(count_servers(f, &grace_s), 2);
    assert_int_equal(grace_s, 90);
    rs_presence_free(&two);
    assert_int_equal(count_servers(f, &grace_s), 1);
    assert_int_equal(grace_s, 60);
    rs_presence_free(&one);
    assert_int_equal(count_servers(f, &grace_s), 0);
}

static void test_a_command_is_not_seen(void **state)
{
    struct fixture *f = *state;
    int64_t grace_s;
    struct rs_presence *none = rs_presence_new(f->storage, 0);
    assert_ok(f, rs_presence_ensure(none, &f->err));
    assert_int_equal(count_servers(f, &grace_s), 0);
    assert_false(rs_presence_is_old(none, 0));
    rs_presence_free(&none);
}

/* What a server leaves that was killed: a file that nobody locks. */
static void test_the_dead_are_buried(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    struct rs_storage_stat st;
    int64_t grace_s;
    rs_path_server(&path, RS_STR("12345678-1234-4234-8234-123456789abc"));
    assert_ok(f, rs_storage_put(f->storage, path.z, RS_STR("60\n"), NULL, &f->err));
    assert_int_equal(count_servers(f, &grace_s), 0);
    assert_rc(f, RS_E_NOT_FOUND, rs_storage_stat(f->storage, path.z, &st, &f->err));
}

static void test_a_server_that_does_not_tell_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    struct rs_storage_file *file;
    size_t servers;
    uint64_t size;
    int64_t grace_s;
    rs_path_server(&path, RS_STR("12345678-1234-4234-8234-123456789abc"));
    assert_ok(f, rs_storage_append_create(f->storage, path.z, &f->err));
    assert_ok(f, rs_storage_append_open(f->storage, path.z, &file, &size, &f->err));
    assert_rc(f, RS_E_UNAVAILABLE, rs_presence_count(f->storage, &servers, &grace_s, &f->err));
    assert_ok(f, rs_storage_append(file, "60", 2, &f->err)); /* cut */
    assert_rc(f, RS_E_UNAVAILABLE, rs_presence_count(f->storage, &servers, &grace_s, &f->err));
    assert_ok(f, rs_storage_append(file, "\n", 1, &f->err));
    assert_int_equal(count_servers(f, &grace_s), 1);
    assert_int_equal(grace_s, 60);
    rs_storage_append_close(&file);
}

static void test_links_grow_old_at_half_the_grace(void **state)
{
    struct fixture *f = *state;
    struct rs_presence *p = rs_presence_new(f->storage, 100);
    int64_t now_s = rs_wall_s();
    assert_false(rs_presence_is_old(p, now_s));
    assert_false(rs_presence_is_old(p, now_s - 45));
    assert_true(rs_presence_is_old(p, now_s - 50));
    assert_false(rs_presence_is_old(p, now_s + 1000)); /* a clock was wrong: young for every collector as well */
    rs_presence_free(&p);
}

static void test_careful_beside_a_stricter_remover(void **state)
{
    struct fixture *f = *state;
    struct rs_storage_file *lock = NULL;
    struct rs_presence *p = rs_presence_new(f->storage, 100);
    assert_ok(f, rs_presence_lock_remover(f->storage, &lock, &f->err));
    assert_ok(f, rs_presence_tell_grace(f->storage, 0, &f->err));
    assert_ok(f, rs_presence_ensure(p, &f->err));
    assert_true(rs_presence_is_old(p, rs_wall_s()));
    rs_storage_append_close(&lock); /* it dies, and its grace stays behind */
    rs_sleep_ms(1100);
    assert_ok(f, rs_presence_ensure(p, &f->err));
    assert_false(rs_presence_is_old(p, rs_wall_s()));
    rs_presence_free(&p);
}

static void test_not_careful_beside_one_that_is_as_patient(void **state)
{
    struct fixture *f = *state;
    struct rs_storage_file *lock = NULL;
    struct rs_presence *p = rs_presence_new(f->storage, 100);
    assert_ok(f, rs_presence_lock_remover(f->storage, &lock, &f->err));
    assert_ok(f, rs_presence_tell_grace(f->storage, 100, &f->err));
    assert_ok(f, rs_presence_ensure(p, &f->err));
    assert_false(rs_presence_is_old(p, rs_wall_s()));
    rs_storage_append_close(&lock);
    rs_presence_free(&p);
}

/* An operator tidies up, or exchanges the directory. */
static void test_announces_again_when_its_file_is_gone(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    int64_t grace_s;
    struct rs_presence *p = rs_presence_new(f->storage, 100);
    assert_ok(f, rs_presence_ensure(p, &f->err));
    assert_ok(f, rs_storage_remove(f->storage, rs_path_servers(&path), NULL, &f->err));
    assert_int_equal(count_servers(f, &grace_s), 0);
    rs_sleep_ms(1100);
    assert_ok(f, rs_presence_ensure(p, &f->err));
    assert_int_equal(count_servers(f, &grace_s), 1);
    rs_presence_free(&p);
}

static void test_a_disk_that_refuses_is_asked_again(void **state)
{
    struct fixture *f = *state;
    int64_t grace_s;
    struct rs_presence *p = rs_presence_new(f->storage, 100);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("append_create:nth=1:error=STORAGE_FULL"), &f->err));
    assert_rc(f, RS_E_STORAGE_FULL, rs_presence_ensure(p, &f->err));
    assert_ok(f, rs_presence_ensure(p, &f->err));
    assert_int_equal(count_servers(f, &grace_s), 1);
    rs_presence_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_servers_are_counted_while_they_live, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_command_is_not_seen, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_dead_are_buried, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_server_that_does_not_tell_is_an_error, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_links_grow_old_at_half_the_grace, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_careful_beside_a_stricter_remover, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_not_careful_beside_one_that_is_as_patient, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_announces_again_when_its_file_is_gone, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_disk_that_refuses_is_asked_again, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
