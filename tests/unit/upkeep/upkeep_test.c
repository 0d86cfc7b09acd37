/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that purges uploads: when it runs, when it does not, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "registry/upload.h"
#include "storage/faulty.h"
#include "upkeep/upkeep.h"

struct fixture {
    char root[64];
    struct rs_storage *storage;
    struct rs_registry *registry;
    struct rs_config config;
    atomic_bool writable;
    atomic_uint asked;
    struct rs_upkeep *upkeep;
    struct rs_err err;
};

static int setup(void **state)
{
    struct fixture *f = rs_calloc(1, sizeof *f);
    const struct rs_registry_config config = {.manifest_cache_bytes = 1 << 20};
    struct rs_storage *disk;
    snprintf(f->root, sizeof f->root, "/tmp/rs-upkeep-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    assert_int_equal(rs_storage_fs_new(f->root, &disk, &f->err), RS_OK);
    rs_storage_faulty_new(disk, &f->storage);
    assert_int_equal(rs_registry_new(&config, f->storage, &f->registry, &f->err), RS_OK);
    f->config.storage.purge = (struct rs_config_purge){.enabled = true, .age_ms = 1000, .interval_ms = 100};
    atomic_init(&f->writable, true);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[100];
    assert_true(rs_upkeep_stop(&f->upkeep));
    rs_registry_free(&f->registry);
    rs_storage_free(&f->storage);
    snprintf(command, sizeof command, "rm -rf %s", f->root);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static bool may_write(void *ctx)
{
    struct fixture *f = ctx;
    atomic_fetch_add(&f->asked, 1);
    return atomic_load(&f->writable);
}

static void start(struct fixture *f)
{
    const struct rs_upkeep_config config = {
        .config = &f->config, .storage = f->storage, .registry = f->registry, .may_write = may_write, .ctx = f};
    assert_int_equal(rs_upkeep_start(&config, &f->upkeep, &f->err), RS_OK);
}

static bool is_there(struct fixture *f, const char *uuid)
{
    uint64_t offset;
    return rs_upload_stat(f->registry, RS_STR("r"), rs_str_c(uuid), &offset, &f->err) == RS_OK;
}

static void begin(struct fixture *f, char uuid[RS_UUID_SIZE])
{
    assert_int_equal(rs_upload_begin(f->registry, RS_STR("r"), uuid, &f->err), RS_OK);
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void test_the_first_run_comes_within_the_interval(void **state)
{
    (void)state;
    bool differs = false;
    for (int i = 0; i < 200; i++) {
        assert_in_range(rs_upkeep_jitter_ms(50), 0, 50);
        int64_t jitter = rs_upkeep_jitter_ms(INT64_C(24) * 3600 * 1000);
        assert_in_range(jitter, 0, 59 * 60 * 1000);
        differs = differs || jitter != rs_upkeep_jitter_ms(INT64_C(24) * 3600 * 1000);
    }
    assert_true(differs);
}

static void test_abandoned_ones_go_again_and_again(void **state)
{
    struct fixture *f = *state;
    char first[RS_UUID_SIZE], second[RS_UUID_SIZE];
    begin(f, first);
    start(f);
    assert_true(is_there(f, first));
    for (int i = 0; i < 600 && is_there(f, first); i++)
        sleep_ms(10);
    assert_false(is_there(f, first));
    begin(f, second);
    for (int i = 0; i < 600 && is_there(f, second); i++)
        sleep_ms(10);
    assert_false(is_there(f, second));
}

static void test_it_can_be_switched_off(void **state)
{
    struct fixture *f = *state;
    f->config.storage.purge.enabled = false;
    start(f);
    assert_null(f->upkeep);
}

static void test_a_dry_run_removes_nothing(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    begin(f, uuid);
    sleep_ms(2100);
    f->config.storage.purge.dry_run = true;
    start(f);
    while (atomic_load(&f->asked) < 10)
        sleep_ms(10);
    assert_true(is_there(f, uuid));
}

static void test_read_only_mode_suspends_it(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    begin(f, uuid);
    sleep_ms(2100);
    atomic_store(&f->writable, false);
    start(f);
    while (atomic_load(&f->asked) < 3)
        sleep_ms(10);
    assert_true(is_there(f, uuid));
    atomic_store(&f->writable, true);
    for (int i = 0; i < 600 && is_there(f, uuid); i++)
        sleep_ms(10);
    assert_false(is_there(f, uuid));
}

static void test_it_stops_in_the_middle_of_a_run(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    for (int i = 0; i < 20; i++)
        begin(f, uuid);
    f->config.storage.purge.interval_ms = 1;
    assert_int_equal(rs_storage_faulty_parse(f->storage, RS_STR("read:delay=100"), &f->err), RS_OK);
    start(f);
    sleep_ms(150);
    int64_t before = rs_mono_ms();
    assert_true(rs_upkeep_stop(&f->upkeep));
    assert_in_range(rs_mono_ms() - before, 0, 1000);
}

static void test_a_disk_that_fails_does_not_end_it(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    begin(f, uuid);
    assert_int_equal(rs_storage_faulty_parse(f->storage, RS_STR("list:nth=1:times=3;remove:nth=1:times=2"), &f->err),
                     RS_OK);
    start(f);
    for (int i = 0; i < 900 && is_there(f, uuid); i++)
        sleep_ms(10);
    assert_false(is_there(f, uuid));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_run_comes_within_the_interval),
        TEST(test_abandoned_ones_go_again_and_again),
        TEST(test_it_can_be_switched_off),
        TEST(test_a_dry_run_removes_nothing),
        TEST(test_read_only_mode_suspends_it),
        TEST(test_it_stops_in_the_middle_of_a_run),
        TEST(test_a_disk_that_fails_does_not_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
