/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"

static void set_keeps_code_and_text(void **state)
{
    (void)state;
    struct rs_err err;
    assert_int_equal(rs_err_set(&err, RS_E_RANGE_INVALID, "byte %d of %s", 7, "x"), RS_E_RANGE_INVALID);
    assert_int_equal(err.rc, RS_E_RANGE_INVALID);
    assert_string_equal(err.text, "byte 7 of x");
}

static void null_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(rs_err_set(NULL, RS_E_IO, "x"), RS_E_IO);
    assert_int_equal(rs_err_sys(NULL, ENOSPC, "x"), RS_E_STORAGE_FULL);
    assert_int_equal(rs_err_wrap(NULL, "x"), RS_E_INTERNAL);
}

static void errno_values_become_codes(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        rs_rc rc;
    } cases[] = {{ENOSPC, RS_E_STORAGE_FULL},
                 {EDQUOT, RS_E_STORAGE_FULL},
                 {EMFILE, RS_E_EXHAUSTED},
                 {ENFILE, RS_E_EXHAUSTED},
                 {ENOMEM, RS_E_EXHAUSTED},
                 {ENOENT, RS_E_NOT_FOUND},
                 {ENOTDIR, RS_E_NOT_FOUND},
                 {EEXIST, RS_E_EXISTS},
                 {EACCES, RS_E_IO},
                 {EIO, RS_E_IO},
                 {EPIPE, RS_E_IO}};
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        struct rs_err err;
        assert_int_equal(rs_err_sys(&err, cases[i].errnum, "open %s", "/a"), cases[i].rc);
        assert_int_equal(err.rc, cases[i].rc);
        assert_memory_equal(err.text, "open /a: ", 9);
        assert_string_equal(err.text + 9, strerror(cases[i].errnum));
    }
}

static void wrap_puts_context_before(void **state)
{
    (void)state;
    struct rs_err err;
    rs_err_set(&err, RS_E_CORRUPT, "no link");
    assert_int_equal(rs_err_wrap(&err, "tag %s", "v1"), RS_E_CORRUPT);
    assert_int_equal(rs_err_wrap(&err, "repository %d", 3), RS_E_CORRUPT);
    assert_string_equal(err.text, "repository 3: tag v1: no link");
}

static void arguments_may_be_the_text_itself(void **state)
{
    (void)state;
    struct rs_err err;
    rs_err_set(&err, RS_E_IO, "inner");
    rs_err_set(&err, RS_E_CORRUPT, "<%s|%s>", err.text, err.text);
    assert_string_equal(err.text, "<inner|inner>");
    rs_err_wrap(&err, "%s", err.text);
    assert_string_equal(err.text, "<inner|inner>: <inner|inner>");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    struct rs_err err;
    char text[2 * RS_ERR_TEXT_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    rs_err_set(&err, RS_E_IO, "%s", text);
    assert_int_equal(strlen(err.text), RS_ERR_TEXT_MAX - 1);
    assert_memory_equal(err.text, text, RS_ERR_TEXT_MAX - 1);
    rs_err_wrap(&err, "head");
    assert_int_equal(strlen(err.text), RS_ERR_TEXT_MAX - 1);
    assert_memory_equal(err.text, "head: xxx", 9);
    text[RS_ERR_TEXT_MAX - 1] = '\0'; /* exactly as much as fits is not cut */
    rs_err_set(&err, RS_E_IO, "%s", text);
    assert_string_equal(err.text, text);
}

static void a_cut_leaves_no_half_character(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        struct rs_err err;
        char text[RS_ERR_TEXT_MAX + 64] = "";
        memset(text, 'a', shift);
        for (size_t i = shift; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\xf0\x9f\x9a\xa2", 5);
        rs_err_set(&err, RS_E_IO, "%s", text);
        size_t len = strlen(err.text);
        assert_true(len >= RS_ERR_TEXT_MAX - 4 && len < RS_ERR_TEXT_MAX);
        assert_int_equal((len - shift) % 4, 0);
    }
}

static void the_table_is_whole(void **state)
{
    (void)state;
    for (int i = 1; i < RS_RC_COUNT; i++) {
        rs_rc rc = (rs_rc)i;
        assert_in_range(rs_rc_status(rc), 400, 599);
        assert_true(strlen(rs_rc_code(rc)) > 0);
        assert_true(strlen(rs_rc_text(rc)) > 0);
        assert_true(strlen(rs_rc_name(rc)) > 0);
    }
    assert_int_equal(rs_rc_status(RS_E_MANIFEST_TOO_BIG), 413);
    assert_string_equal(rs_rc_code(RS_E_MANIFEST_TOO_BIG), "MANIFEST_INVALID");
    assert_string_equal(rs_rc_name(RS_E_TOO_MANY_REQUESTS), "TOO_MANY_REQUESTS");
    assert_string_equal(rs_rc_code(RS_E_TOO_MANY_REQUESTS), "TOOMANYREQUESTS");
    assert_string_equal(rs_rc_name(RS_OK), "OK");
}

static rs_rc try_twice(rs_rc first, int *steps)
{
    RS_TRY(first);
    ++*steps;
    RS_TRY(RS_OK);
    ++*steps;
    return RS_OK;
}

static void try_returns_the_first_failure(void **state)
{
    (void)state;
    int steps = 0;
    assert_int_equal(try_twice(RS_E_BUSY, &steps), RS_E_BUSY);
    assert_int_equal(steps, 0);
    assert_int_equal(try_twice(RS_OK, &steps), RS_OK);
    assert_int_equal(steps, 2);
}

static void ok_has_no_status(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(STDERR_FILENO);
        rs_rc_status(RS_OK);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_keeps_code_and_text),          cmocka_unit_test(null_is_allowed),
        cmocka_unit_test(errno_values_become_codes),        cmocka_unit_test(wrap_puts_context_before),
        cmocka_unit_test(arguments_may_be_the_text_itself), cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(a_cut_leaves_no_half_character),   cmocka_unit_test(the_table_is_whole),
        cmocka_unit_test(try_returns_the_first_failure),    cmocka_unit_test(ok_has_no_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
