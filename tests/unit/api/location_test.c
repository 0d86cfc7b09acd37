/* SPDX-License-Identifier: Apache-2.0 */
#include "api_test.h"

#define PATH "/v2/a/blobs/sha256:12"

static void check_with(struct rs_config_http http, rs_str host, const struct rs_header *headers, size_t count,
                       const char *expected)
{
    const struct rs_config config = {.http = http};
    const struct rs_api api = {.config = &config};
    struct rs_request req;

    request_init(&req, RS_METHOD_PUT, "PUT", "/x");
    req.host = host;
    req.headers = headers;
    req.header_count = count;
    rs_api_location(&api, &req, RS_STR(PATH));
    assert_header(&req, "Location", expected);
    request_release(&req);
}

static void check(struct rs_config_http http, const char *host, const char *expected)
{
    check_with(http, rs_str_c(host), NULL, 0, expected);
}

static void test_configuration(void **state)
{
    const char *host = "r.example:5000";
    (void)state;

    check((struct rs_config_http){.host = "", .prefix = ""}, host, "http://r.example:5000" PATH);
    check((struct rs_config_http){.host = "", .prefix = "/p"}, host, "http://r.example:5000/p" PATH);
    check((struct rs_config_http){.host = "", .prefix = "/p", .relative_urls = true}, host, "/p" PATH);
    check((struct rs_config_http){.host = "", .prefix = ""}, "", PATH); /* HTTP/1.0 */
    check((struct rs_config_http){.host = "https://h", .prefix = "/p", .relative_urls = true}, host, "https://h" PATH);
    check((struct rs_config_http){.host = "https://h/out", .prefix = "/in"}, host, "https://h/out" PATH);
}

static void check_forwarded(const char *name, const char *value, const char *expected)
{
    const struct rs_header header = {rs_str_c(name), rs_str_c(value)};

    check_with((struct rs_config_http){.host = "", .prefix = "/p"}, RS_STR("in:5000"), &header, 1, expected);
}

static void test_proxies(void **state)
{
    (void)state;
    check_forwarded("x-forwarded-proto", "https", "https://in:5000/p" PATH);
    check_forwarded("X-Forwarded-Proto", "https, http", "https://in:5000/p" PATH);
    check_forwarded("X-Forwarded-Host", "out.example", "http://out.example/p" PATH);
    check_forwarded("X-Forwarded-Host", "out:443 ,in", "http://out:443/p" PATH);
    check_forwarded("X-Forwarded-Host", "[2001:db8::1]:443", "http://[2001:db8::1]:443/p" PATH);
    check_forwarded("Forwarded", "for=192.0.2.1;Proto=https;host=\"out:443\", for=x;host=y", "https://out:443/p" PATH);
    check_forwarded("Forwarded", "for=192.0.2.1", "http://in:5000/p" PATH);
}

/* What is no scheme and no host is passed over. */
static void test_nonsense_from_proxies(void **state)
{
    static const char *const bad_hosts[] = {"", "a/b", "a b", "a?b", "a@b", "a\"b", "ä", "<x>", "a;b"};
    char long_host[300];
    (void)state;

    check_forwarded("X-Forwarded-Proto", "javascript", "http://in:5000/p" PATH);
    check_forwarded("X-Forwarded-Proto", "https://x/", "http://in:5000/p" PATH);
    for (size_t i = 0; i < RS_COUNT(bad_hosts); i++)
        check_forwarded("X-Forwarded-Host", bad_hosts[i], "http://in:5000/p" PATH);
    memset(long_host, 'a', sizeof long_host - 1);
    long_host[sizeof long_host - 1] = '\0';
    check_forwarded("X-Forwarded-Host", long_host, "http://in:5000/p" PATH);
    check_forwarded("Forwarded", ";;=;host", "http://in:5000/p" PATH);
}

static void test_what_counts_more(void **state)
{
    const struct rs_header headers[] = {
        {RS_STR("Forwarded"), RS_STR("proto=https;host=more")},
        {RS_STR("X-Forwarded-Proto"), RS_STR("http")},
        {RS_STR("X-Forwarded-Host"), RS_STR("less")},
    };
    (void)state;

    check_with((struct rs_config_http){.host = "", .prefix = ""}, RS_STR("in"), headers, 3, "https://more" PATH);
    check_with((struct rs_config_http){.host = "http://h", .prefix = ""}, RS_STR("in"), headers, 3, "http://h" PATH);
    check_with((struct rs_config_http){.host = "", .prefix = "", .relative_urls = true}, RS_STR("in"), headers, 3,
               PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_proxies),
        cmocka_unit_test(test_nonsense_from_proxies),
        cmocka_unit_test(test_what_counts_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
