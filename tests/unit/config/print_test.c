/* SPDX-License-Identifier: Apache-2.0 */
/* What `config check` prints: all that holds, no secret, and again a configuration. */
#include "told.h"

static char *print(const struct rs_config *config)
{
    struct rs_buf out;
    rs_buf_init(&out, 1 << 20);
    rs_config_print(config, &out);
    assert_false(out.overflow);
    char *z = rs_strdup(rs_buf_z(&out));
    rs_buf_release(&out);
    return z;
}

/* A file that warns about much, and holds a secret wherever one may stand. */
static const char everything[] =
    GOOD "log:\n"
         "  fields: {service: registry, 'odd: name': \"line\\nend\", number: 5}\n"
         "  hooks: [{type: mail, options: {smtp: {addr: m, username: HUSH, password: HUSH}, to: [a, b]}}]\n"
         "http:\n"
         "  secret: HUSH\n"
         "  headers: {X-A: [a, 'b, c'], X-B: d}\n"
         "  relativeurls: YES\n"
         "notifications:\n"
         "  endpoints:\n"
         "  - {disabled: true, name: off}\n"
         "  - {name: one, url: 'https://u:HUSH@x', headers: {Authorization: [Bearer HUSH], X: HUSH}, threshold: 0x5}\n"
         "redis: {addr: 'r:1', password: HUSH, pool: {maxidle: 3}, tls: {enabled: true}}\n"
         "middleware: {storage: [{name: cloudfront, options: {baseurl: 'HUSH', privatekey: HUSH}}]}\n"
         "reporting: {bugsnag: {apikey: HUSH}}\n"
         "health: {http: [{uri: 'http://u:HUSH@x', headers: {Cookie: [HUSH]}}]}\n"
         "unknown: {password: HUSH}\n"
         "catalog: {maxentries: 1_0}\n"
         "roadstead: {manifest_cache: 2 MiB, http: {listen: 'tcp://:1', head_time: 1500ms}}\n";

static const char in_memory[] = "version: 0.1\nstorage: inmemory\nroadstead: {storage: {inmemory_size: 1GiB}}\n";

static void loads_again(void **state)
{
    static const char *const files[] = {
        NULL,       GOOD,
        everything, "version: 0.1\nstorage: filesystem\nauth: none\n",
        in_memory,  "version: 0.1\nstorage: {inmemory: , cache: {blobdescriptor: inmemory}}\n"};
    (void)state;
    for (size_t i = 0; i < RS_COUNT(files); i++) {
        struct loaded first = load(files[i], NULL);
        assert_int_equal(first.rc, RS_OK);
        char *printed = print(first.config);
        struct loaded second = load(printed, NULL);
        assert_string_equal(second.rc == RS_OK ? "" : second.err.text, "");
        char *again = print(second.config);
        assert_string_equal(again, printed);
        free(printed);
        free(again);
        unload(&first);
        unload(&second);
    }
}

static void means_the_same(void **state)
{
    (void)state;
    struct loaded first = load(everything, "REGISTRY_HTTP_ADDR=:81");
    char *printed = print(first.config);
    struct loaded second = load(printed, NULL);
    const struct rs_config *c = second.config;
    assert_string_equal(c->http.addr, ":81");
    assert_true(c->http.relative_urls);
    assert_int_equal(c->http.header_count, 2);
    assert_string_equal(c->http.headers[0].values.items[1], "b, c");
    assert_int_equal(c->log.field_count, 3);
    assert_string_equal(c->log.fields[1].key, "odd: name");
    assert_true(rs_str_eq_c(c->log.fields[1].value, "line\nend"));
    assert_int_equal(c->catalog_max_entries, 10);
    assert_int_equal(c->manifest_cache, 2 * 1024 * 1024);
    assert_int_equal(c->http.head_ms, 1500);
    assert_int_equal(c->http.listen_count, 2);
    free(printed);
    unload(&first);
    unload(&second);
}

static void tells_the_driver(void **state)
{
    static const struct {
        const char *file;
        const char *variable;
        enum rs_config_driver driver;
        uint64_t size;
    } cases[] = {
        {in_memory, NULL, RS_CONFIG_INMEMORY, 1 << 30},
        {GOOD, NULL, RS_CONFIG_FILESYSTEM, 0},
        {GOOD, "REGISTRY_STORAGE=inmemory", RS_CONFIG_INMEMORY, 0},
        {GOOD, "REGISTRY_STORAGE={inmemory: {}}", RS_CONFIG_INMEMORY, 0},
        {NULL, "REGISTRY_STORAGE=inmemory", RS_CONFIG_INMEMORY, 0},
        {in_memory, "REGISTRY_STORAGE_INMEMORY=", RS_CONFIG_INMEMORY, 1 << 30},
        {in_memory, "REGISTRY_STORAGE_INMEMORY={}", RS_CONFIG_INMEMORY, 1 << 30},
        {"version: 0.1\n", "REGISTRY_STORAGE_INMEMORY={}", RS_CONFIG_INMEMORY, 0},
        {in_memory, "ROADSTEAD_STORAGE_INMEMORY_SIZE=2GiB", RS_CONFIG_INMEMORY, UINT64_C(2) << 30},
    };
    (void)state;
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        struct loaded first = load(cases[i].file, cases[i].variable);
        assert_string_equal(first.rc == RS_OK ? "" : first.err.text, "");
        char *printed = print(first.config);
        struct loaded second = load(printed, NULL);
        assert_string_equal(second.rc == RS_OK ? "" : second.err.text, "");
        assert_int_equal(first.config->storage.driver, cases[i].driver);
        assert_int_equal(second.config->storage.driver, cases[i].driver);
        assert_int_equal(second.config->storage.inmemory_size, cases[i].size);
        free(printed);
        unload(&first);
        unload(&second);
    }
}

static void shows_no_secret(void **state)
{
    (void)state;
    struct loaded l = load(everything, "REGISTRY_HTTP_SECRET=HUSH2");
    char *printed = print(l.config);
    assert_null(strstr(printed, "HUSH"));
    assert_non_null(strstr(printed, "secret: \"***\""));
    assert_non_null(strstr(printed, "password: \"***\""));
    assert_non_null(strstr(printed, "Authorization: [\"***\"]"));
    assert_non_null(strstr(printed, "bugsnag: {apikey: \"***\"}"));
    assert_null(strstr(printed, "unknown"));
    free(printed);
    unload(&l);
}

static void marks_what_is_not_honoured(void **state)
{
    (void)state;
    struct loaded l =
        load(GOOD "redis: {addr: 'r:1'}\nlog: {reportcaller: true}\ncompatibility: {schema1: {}}\n", NULL);
    char *printed = print(l.config);
    assert_non_null(strstr(printed, "\nredis: # not honoured\n  addr: \"r:1\"\n"));
    assert_non_null(strstr(printed, "\n  reportcaller: true # not honoured\n"));
    assert_null(strstr(printed, "compatibility"));
    free(printed);
    unload(&l);
}

static void defaults_are_shown(void **state)
{
    (void)state;
    struct loaded l = load(NULL, NULL);
    char *printed = print(l.config);
    assert_non_null(strstr(printed, "version: \"0.1\"\n"));
    assert_non_null(strstr(printed, "\n    rootdirectory: \"./data\"\n"));
    assert_non_null(strstr(printed, "\n    max_connections: 20000\n"));
    assert_non_null(strstr(printed, "\n    head_time: 10s\n"));
    assert_null(strstr(printed, "not honoured"));
    free(printed);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_again),
        cmocka_unit_test(means_the_same),
        cmocka_unit_test(tells_the_driver),
        cmocka_unit_test(shows_no_secret),
        cmocka_unit_test(marks_what_is_not_honoured),
        cmocka_unit_test(defaults_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
