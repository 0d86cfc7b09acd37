/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "oci/digest.h"

#define EMPTY256 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define EMPTY512                                                                                                       \
    "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f"          \
    "63b931bd47417a81a538327af927da3e"

static void both_algorithms(void **state)
{
    (void)state;
    struct rs_digest d;
    struct rs_err err;
    assert_int_equal(rs_digest_parse(RS_STR(EMPTY256), &d, &err), RS_OK);
    assert_int_equal(d.alg, RS_SHA256);
    assert_string_equal(d.text, EMPTY256);
    assert_string_equal(rs_digest_hex(&d), &EMPTY256[7]);
    assert_true(rs_str_eq(rs_digest_str(&d), RS_STR(EMPTY256)));
    assert_int_equal(rs_digest_parse(RS_STR(EMPTY512), &d, &err), RS_OK);
    assert_int_equal(d.alg, RS_SHA512);
    assert_string_equal(d.text, EMPTY512);
    assert_true(rs_str_eq(rs_digest_str(&d), RS_STR(EMPTY512)));
}

static void wrong_digests(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        ":",
        "sha256",
        "sha256:",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
        "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "sha256:g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256::3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha384:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        " " EMPTY256,
        EMPTY256 " ",
        EMPTY512 "0",
        "sha256:../../../../../../etc/passwd",
    };
    for (size_t i = 0; i < RS_COUNT(wrong); i++) {
        struct rs_digest d = {.text = "untouched"};
        struct rs_err err;
        assert_int_equal(rs_digest_parse(rs_str_c(wrong[i]), &d, &err), RS_E_DIGEST_INVALID);
        assert_int_equal(err.rc, RS_E_DIGEST_INVALID);
        assert_true(strlen(err.text) > 0);
        assert_string_equal(d.text, "untouched");
        assert_int_equal(rs_digest_parse(rs_str_c(wrong[i]), &d, NULL), RS_E_DIGEST_INVALID);
    }
    struct rs_digest d;
    assert_int_equal(rs_digest_parse((rs_str){EMPTY256 "\0", 72}, &d, NULL), RS_E_DIGEST_INVALID);
}

static void errors_say_what_to_do(void **state)
{
    (void)state;
    struct rs_digest d;
    struct rs_err err;
    rs_digest_parse(RS_STR("md5:00"), &d, &err);
    assert_non_null(strstr(err.text, "sha256 or sha512"));
    rs_digest_parse(RS_STR("sha512:00"), &d, &err);
    assert_non_null(strstr(err.text, "128 lower-case"));
}

static void digests_of_content(void **state)
{
    (void)state;
    struct rs_digest a;
    struct rs_digest b;
    rs_digest_of(RS_SHA256, "", 0, &a);
    assert_string_equal(a.text, EMPTY256);
    rs_digest_of(RS_SHA512, NULL, 0, &b);
    assert_string_equal(b.text, EMPTY512);
    assert_false(rs_digest_eq(&a, &b));
    uint8_t raw[RS_HASH_MAX];
    rs_hash_once(RS_SHA256, "", 0, raw);
    rs_digest_from_raw(RS_SHA256, raw, &b);
    assert_true(rs_digest_eq(&a, &b));
    assert_memory_equal(&a, &b, sizeof a); /* also fit for a hash of the bytes */
    raw[31] ^= 1;
    rs_digest_from_raw(RS_SHA256, raw, &b);
    assert_false(rs_digest_eq(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_algorithms),
        cmocka_unit_test(wrong_digests),
        cmocka_unit_test(errors_say_what_to_do),
        cmocka_unit_test(digests_of_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
