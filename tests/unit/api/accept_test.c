/* SPDX-License-Identifier: Apache-2.0 */
/* Accept (RFC 9110 12.5.1): which media types a client takes. */
#include "api_test.h"

#define TYPE "application/vnd.oci.image.manifest.v1+json"
#define OTHER "application/vnd.docker.distribution.manifest.v2+json"

static bool accepts(const char *first, const char *second)
{
    struct rs_header fields[3] = {{RS_STR("Accept-Encoding"), RS_STR("gzip")}};
    struct rs_request req;
    request_init(&req, RS_METHOD_GET, "GET", "/x");
    req.headers = fields;
    req.header_count = 1;
    if (first != NULL)
        fields[req.header_count++] = (struct rs_header){RS_STR("accept"), rs_str_c(first)};
    if (second != NULL)
        fields[req.header_count++] = (struct rs_header){RS_STR("Accept"), rs_str_c(second)};
    bool taken = rs_accepts(&req, RS_STR(TYPE));
    request_release(&req);
    return taken;
}

static void what_is_named_is_taken(void **state)
{
    (void)state;
    assert_true(accepts(TYPE, NULL));
    assert_true(accepts(OTHER ", " TYPE, NULL));
    assert_true(accepts(OTHER, TYPE));
    assert_true(accepts(OTHER "," TYPE ";q=0.1;x=y", NULL));
    assert_true(accepts("APPLICATION/VND.OCI.image.manifest.v1+json", NULL));
    assert_false(accepts(OTHER, NULL));
    assert_false(accepts(OTHER, "application/json"));
    assert_false(accepts(TYPE "x", "x" TYPE));
    assert_false(accepts("nonsense", NULL));
    assert_false(accepts(",;,/,", NULL));
}

static void wildcards_and_nothing_take_all(void **state)
{
    (void)state;
    assert_true(accepts(NULL, NULL));
    assert_true(accepts("", NULL));
    assert_true(accepts("*/*", NULL));
    assert_true(accepts("text/html, image/gif, */*; q=.2", NULL));
    assert_true(accepts("application/*", NULL));
    assert_true(accepts("", "application/*"));
    assert_false(accepts("text/*", NULL));
    assert_false(accepts("*", NULL));
}

static void a_weight_of_zero_refuses(void **state)
{
    (void)state;
    assert_false(accepts(TYPE ";q=0", NULL));
    assert_false(accepts(TYPE "; Q = 0.000", NULL));
    assert_false(accepts("*/*, " TYPE ";q=0", NULL));
    assert_false(accepts(TYPE ";q=0", "*/*"));
    assert_true(accepts(TYPE ";q=0.001, */*;q=0", NULL));
    assert_true(accepts("application/*;q=0, " TYPE, NULL));
    assert_false(accepts("application/*;q=0, */*", NULL));
    assert_true(accepts(TYPE ";q=0, " TYPE, NULL));
    assert_true(accepts(TYPE ";q=", NULL));
    assert_true(accepts(TYPE ";quality=0", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_named_is_taken),
        cmocka_unit_test(wildcards_and_nothing_take_all),
        cmocka_unit_test(a_weight_of_zero_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
