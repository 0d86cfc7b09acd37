/* SPDX-License-Identifier: Apache-2.0 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "cmd/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

struct place {
    char root[64];
    char path[128]; /* root/a/b */
};

static int setup(void **state)
{
    static struct place place;
    snprintf(place.root, sizeof place.root, "/tmp/roadstead-state-test-XXXXXX");
    if (mkdtemp(place.root) == NULL)
        return -1;
    snprintf(place.path, sizeof place.path, "%s/a/b", place.root);
    *state = &place;
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    const struct place *place = *state;
    snprintf(command, sizeof command, "rm -rf %s", place->root);
    return system(command);
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void configured_directory_is_made_and_kept(void **state)
{
    const struct place *place = *state;
    struct rs_state s;
    struct rs_err err;
    assert_int_equal(rs_state_open(place->path, NULL, &s, &err), RS_OK);
    assert_string_equal(s.path, place->path);
    assert_false(s.is_temporary);
    rs_state_close(&s);
    assert_null(s.path);
    assert_true(is_directory(place->path));
}

static void configured_directory_is_not_shared(void **state)
{
    const struct place *place = *state;
    struct rs_state first, second;
    struct rs_err err;
    assert_int_equal(rs_state_open(place->path, NULL, &first, &err), RS_OK);
    assert_int_equal(rs_state_open(place->path, NULL, &second, &err), RS_E_CONFIG);
    assert_non_null(strstr(err.text, "in use by another process"));
    assert_non_null(strstr(err.text, place->path));
    rs_state_close(&first);
    assert_int_equal(rs_state_open(place->path, NULL, &second, &err), RS_OK);
    rs_state_close(&second);
}

static void configured_directory_that_cannot_be_is_an_error(void **state)
{
    const struct place *place = *state;
    char file[128], below[160];
    struct rs_state s;
    struct rs_err err;
    snprintf(file, sizeof file, "%s/file", place->root);
    fclose(fopen(file, "w"));
    snprintf(below, sizeof below, "%s/state", file);
    assert_int_equal(rs_state_open(below, NULL, &s, &err), RS_E_CONFIG);
    assert_non_null(strstr(err.text, "roadstead.state_dir"));
}

/* Processes on one storage take one each, and the number of one that has ended is used again. */
static void unset_takes_the_first_free_number(void **state)
{
    const struct place *place = *state;
    struct rs_state first, second, third;
    struct rs_err err;
    char expected[160];
    assert_int_equal(rs_state_open("", place->path, &first, &err), RS_OK);
    assert_int_equal(rs_state_open("", place->path, &second, &err), RS_OK);
    snprintf(expected, sizeof expected, "%s/1", place->path);
    assert_string_equal(second.path, expected);
    rs_state_close(&first);
    assert_int_equal(rs_state_open("", place->path, &third, &err), RS_OK);
    snprintf(expected, sizeof expected, "%s/0", place->path);
    assert_string_equal(third.path, expected);
    rs_state_close(&second);
    rs_state_close(&third);
}

static void without_a_place_it_is_temporary_and_goes_away(void **state)
{
    const struct place *place = *state;
    struct rs_state s;
    struct rs_err err;
    char path[160], inside[192];
    setenv("TMPDIR", place->root, 1);
    assert_int_equal(rs_state_open("", "/proc/no/such", &s, &err), RS_OK);
    unsetenv("TMPDIR");
    assert_true(s.is_temporary);
    assert_memory_equal(s.path, place->root, strlen(place->root));
    snprintf(path, sizeof path, "%s", s.path);
    snprintf(inside, sizeof inside, "%s/queue", path);
    assert_int_equal(mkdir(inside, 0700), 0);
    rs_state_close(&s);
    assert_false(is_directory(path));
}

static void closing_what_is_not_open_is_fine(void **state)
{
    (void)state;
    struct rs_state s = {0};
    rs_state_close(&s);
    assert_null(s.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configured_directory_is_made_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(configured_directory_is_not_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(configured_directory_that_cannot_be_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(unset_takes_the_first_free_number, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_place_it_is_temporary_and_goes_away, setup, teardown),
        cmocka_unit_test(closing_what_is_not_open_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
