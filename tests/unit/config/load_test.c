/* SPDX-License-Identifier: Apache-2.0 */
/* Files as a whole: defaults, the stock files of registry:2 and registry:3, values in the snapshot, broken files. */
#include "told.h"

static void defaults(void **state)
{
    (void)state;
    struct loaded l = load(NULL, NULL);
    assert_int_equal(l.rc, RS_OK);
    assert_string_equal(rs_buf_z(&l.told), "");
    const struct rs_config *c = l.config;
    assert_string_equal(c->storage.root, "./data");
    assert_false(c->storage.read_only || c->storage.delete_enabled || c->storage.redirect_disable);
    assert_true(c->storage.purge.enabled && !c->storage.purge.dry_run); /* as registry:2 without the section */
    assert_int_equal(c->storage.purge.age_ms, INT64_C(168) * 3600 * 1000);
    assert_int_equal(c->storage.purge.interval_ms, 24 * 3600 * 1000);
    assert_int_equal(c->http.listen_count, 1);
    assert_string_equal(c->http.listen[0].net, "tcp");
    assert_string_equal(c->http.listen[0].address, "127.0.0.1:5000");
    assert_string_equal(c->http.host, "");
    assert_string_equal(c->http.prefix, "");
    assert_string_equal(c->http.secret, "");
    assert_string_equal(c->user, "");
    assert_int_equal(c->log.level, RS_LOG_INFO);
    assert_int_equal(c->log.format, RS_LOG_TEXT);
    assert_int_equal(c->log.access, RS_CONFIG_ACCESS_EVENT);
    assert_int_equal(c->log.field_count, 0);
    assert_int_equal(c->http.header_count, 0);
    assert_int_equal(c->http.drain_ms, 0);
    assert_int_equal(c->catalog_max_entries, 1000);
    assert_int_equal(c->tags_max_tags, 1000);
    assert_int_equal(c->manifest_cache, 16 * 1024 * 1024);
    unload(&l);
}

static void default_limits(void **state)
{
    (void)state;
    struct loaded l = load(NULL, NULL);
    const struct rs_config_http *http = &l.config->http;
    assert_int_equal(http->lanes, 0);
    assert_int_equal(http->max_connections, 20000);
    assert_int_equal(http->max_workers, 256);
    assert_int_equal(http->reserved_workers, 32);
    assert_int_equal(http->max_body_workers_per_address, 64);
    assert_int_equal(http->max_head, 64 * 1024);
    assert_int_equal(http->head_ms, 10 * 1000);
    assert_int_equal(http->idle_ms, 120 * 1000);
    assert_int_equal(http->queue_ms, 30 * 1000);
    assert_int_equal(http->min_rate, 1024);
    assert_int_equal(http->rate_ms, 30 * 1000);
    unload(&l);
}

/* registry:2's own file. */
static void stock_file_2(void **state)
{
    (void)state;
    struct loaded l = load("version: 0.1\n"
                           "log:\n"
                           "  fields:\n"
                           "    service: registry\n"
                           "storage:\n"
                           "  cache:\n"
                           "    blobdescriptor: inmemory\n"
                           "  filesystem:\n"
                           "    rootdirectory: /var/lib/registry\n"
                           "http:\n"
                           "  addr: :5000\n"
                           "  headers:\n"
                           "    X-Content-Type-Options: [nosniff]\n"
                           "health:\n"
                           "  storagedriver:\n"
                           "    enabled: true\n"
                           "    interval: 10s\n"
                           "    threshold: 3\n",
                           NULL);
    assert_int_equal(l.rc, RS_OK);
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_int_equal(l.config->health.check_count, 1);
    assert_int_equal(l.config->health.checks[0].threshold, 3);
    assert_string_equal(l.config->storage.root, "/var/lib/registry");
    assert_string_equal(l.config->http.listen[0].address, ":5000");
    assert_int_equal(l.config->http.header_count, 1);
    assert_string_equal(l.config->http.headers[0].name, "X-Content-Type-Options");
    assert_int_equal(l.config->http.headers[0].values.count, 1);
    assert_string_equal(l.config->http.headers[0].values.items[0], "nosniff");
    assert_int_equal(l.config->log.field_count, 1);
    assert_string_equal(l.config->log.fields[0].key, "service");
    assert_true(rs_str_eq_c(l.config->log.fields[0].value, "registry"));
    unload(&l);
}

/* registry:3's own file. */
static void stock_file_3(void **state)
{
    (void)state;
    struct loaded l = load("version: 0.1\n"
                           "log:\n"
                           "  fields:\n"
                           "    service: registry\n"
                           "storage:\n"
                           "  cache:\n"
                           "    blobdescriptor: inmemory\n"
                           "  filesystem:\n"
                           "    rootdirectory: /var/lib/registry\n"
                           "  tag:\n"
                           "    concurrencylimit: 8\n"
                           "  delete:\n"
                           "    enabled: true\n"
                           "http:\n"
                           "  addr: :5000\n"
                           "  debug:\n"
                           "    addr: :5001\n"
                           "    prometheus:\n"
                           "      enabled: true\n"
                           "      path: /metrics\n"
                           "  headers:\n"
                           "    X-Content-Type-Options: [nosniff]\n"
                           "health:\n"
                           "  storagedriver:\n"
                           "    enabled: true\n"
                           "    interval: 10s\n"
                           "    threshold: 3\n",
                           NULL);
    assert_int_equal(l.rc, RS_OK);
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_string_equal(l.config->http.debug_addr, ":5001");
    assert_true(l.config->http.debug_metrics);
    assert_true(l.config->storage.delete_enabled);
    unload(&l);
}

static void values_arrive(void **state)
{
    (void)state;
    struct loaded l = load("version: 0.1\n"
                           "log: {level: DEBUG, formatter: json, fields: {b: 1, a: x}}\n"
                           "storage:\n"
                           "  filesystem: {rootdirectory: /srv/images}\n"
                           "  redirect: {disable: yes}\n"
                           "  maintenance:\n"
                           "    readonly: {enabled: on}\n"
                           "    uploadpurging: {enabled: false}\n"
                           "http:\n"
                           "  addr: '[::1]:443'\n"
                           "  host: https://example.org/\n"
                           "  prefix: /images/\n"
                           "  secret: 12345\n"
                           "  relativeurls: true\n"
                           "  draintimeout: 1m30s\n"
                           "  http2: {disabled: true}\n"
                           "  headers: {A: [1, two], B: bare}\n"
                           "catalog: {maxentries: 0x10}\n"
                           "tags: {maxtags: 50}\n"
                           "auth: none\n",
                           NULL);
    assert_string_equal(rs_buf_z(&l.told), "");
    const struct rs_config *c = l.config;
    assert_int_equal(c->log.level, RS_LOG_DEBUG);
    assert_int_equal(c->log.format, RS_LOG_JSON);
    assert_int_equal(c->log.field_count, 2);
    assert_string_equal(c->log.fields[1].key, "a");
    assert_string_equal(c->storage.root, "/srv/images");
    assert_true(c->storage.read_only && c->storage.redirect_disable);
    assert_string_equal(c->http.addr, "[::1]:443");
    assert_string_equal(c->http.host, "https://example.org");
    assert_string_equal(c->http.prefix, "/images");
    assert_string_equal(c->http.secret, "12345");
    assert_true(c->http.relative_urls);
    assert_int_equal(c->http.drain_ms, 90 * 1000);
    assert_int_equal(c->http.header_count, 2);
    assert_string_equal(c->http.headers[0].values.items[1], "two");
    assert_string_equal(c->http.headers[1].values.items[0], "bare");
    assert_int_equal(c->catalog_max_entries, 16);
    assert_int_equal(c->tags_max_tags, 50);
    unload(&l);
}

static void own_values_arrive(void **state)
{
    (void)state;
    struct loaded l = load(GOOD "http: {net: unix, addr: /run/a.sock}\n"
                                "roadstead:\n"
                                "  user: registry\n"
                                "  manifest_cache: 2M\n"
                                "  log: {access: both}\n"
                                "  http:\n"
                                "    listen: ['tcp://127.0.0.1:5001', unix:///run/b.sock]\n"
                                "    lanes: 3\n"
                                "    max_connections: 1_000\n"
                                "    max_workers: 20\n"
                                "    reserved_workers: 0\n"
                                "    max_body_workers_per_address: 4\n"
                                "    max_head: 8KiB\n"
                                "    head_time: 1s\n"
                                "    idle_time: 2m\n"
                                "    queue_time: 250ms\n"
                                "    min_rate: 0\n"
                                "    rate_time: 5s\n",
                           NULL);
    assert_string_equal(rs_buf_z(&l.told), "");
    const struct rs_config_http *http = &l.config->http;
    assert_int_equal(http->net, RS_CONFIG_UNIX);
    assert_int_equal(http->listen_count, 3);
    assert_string_equal(http->listen[0].net, "unix");
    assert_string_equal(http->listen[0].address, "/run/a.sock");
    assert_string_equal(http->listen[1].net, "tcp");
    assert_string_equal(http->listen[1].address, "127.0.0.1:5001");
    assert_string_equal(http->listen[2].net, "unix");
    assert_string_equal(http->listen[2].address, "/run/b.sock");
    assert_int_equal(http->lanes, 3);
    assert_int_equal(http->max_connections, 1000);
    assert_int_equal(http->max_workers, 20);
    assert_int_equal(http->reserved_workers, 0);
    assert_int_equal(http->max_body_workers_per_address, 4);
    assert_int_equal(http->max_head, 8192);
    assert_int_equal(http->head_ms, 1000);
    assert_int_equal(http->idle_ms, 120 * 1000);
    assert_int_equal(http->queue_ms, 250);
    assert_int_equal(http->min_rate, 0);
    assert_int_equal(http->rate_ms, 5000);
    assert_string_equal(l.config->user, "registry");
    assert_int_equal(l.config->manifest_cache, 2 * 1024 * 1024);
    assert_int_equal(l.config->log.access, RS_CONFIG_ACCESS_BOTH);
    unload(&l);
}

static void bare_driver(void **state)
{
    (void)state;
    struct loaded l = load("version: 0.1\nstorage: filesystem\n", NULL);
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_string_equal(l.config->storage.root, "/var/lib/registry");
    unload(&l);
}

static void empty_values_are_defaults(void **state)
{
    (void)state;
    struct loaded l = load("version: 0.1\nlog:\nstorage: {filesystem: }\nhttp: {addr: , host: '', headers: }\n"
                           "auth:\nproxy: {}\nhttp2:\nroadstead: {http: , user: ~}\n",
                           NULL);
    assert_string_equal(rs_buf_z(&l.told), "W 7 http2\n");
    assert_string_equal(l.config->http.addr, "127.0.0.1:5000");
    assert_string_equal(l.config->http.host, "");
    unload(&l);
}

static void old_log_level(void **state)
{
    (void)state;
    struct loaded l = load(GOOD "loglevel: warn\n", NULL);
    assert_int_equal(l.config->log.level, RS_LOG_WARN);
    unload(&l);
    l = load(GOOD "loglevel: warn\nlog: {level: error}\n", NULL);
    assert_int_equal(l.config->log.level, RS_LOG_ERROR);
    unload(&l);
}

static void disabled_access_log_wins(void **state)
{
    (void)state;
    struct loaded l = load(GOOD "log: {accesslog: {disabled: true}}\nroadstead: {log: {access: both}}\n", NULL);
    assert_int_equal(l.config->log.access, RS_CONFIG_ACCESS_NONE);
    unload(&l);
}

static void entries_below_one_mean_the_default(void **state)
{
    (void)state;
    struct loaded l = load(GOOD "catalog: {maxentries: 0}\ntags: {maxtags: -5}\n", NULL);
    assert_int_equal(l.config->catalog_max_entries, 1000);
    assert_int_equal(l.config->tags_max_tags, 1000);
    unload(&l);
}

static void anchors_work(void **state)
{
    (void)state;
    struct loaded l = load("version: 0.1\nstorage: {filesystem: {rootdirectory: &r /srv}}\nhttp: {addr: &a ':80'}\n"
                           "log: {fields: {root: *r, addr: *a}}\n",
                           "REGISTRY_HTTP_ADDR=:81");
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_string_equal(l.config->http.addr, ":81");
    assert_true(rs_str_eq_c(l.config->log.fields[1].value, ":80")); /* an alias is a copy */
    unload(&l);
}

static void broken_files(void **state)
{
    static const struct told_case cases[] = {
        {"", NULL, "E 1 version\nE 1 storage\n"},
        {"- version\n", NULL, "E 1 syntax\n"},
        {"version 0.1\n", NULL, "E 1 syntax\n"},
        {"version: 0.1\nlog: {\n", NULL, "E 3 syntax\n"},
        {"version: 0.1\nversion: 0.1\n", NULL, "E 2 syntax\n"},
        {GOOD "---\nversion: 0.1\n", NULL, "E 3 syntax\n"},
        {"\xff\xfev", NULL, "E 1 syntax\n"}, /* UTF-16 */
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

/* As docker-registry does, whatever editor the file comes from. */
static void byte_order_mark(void **state)
{
    (void)state;
    struct loaded l = load("\xef\xbb\xbf" GOOD "loglevel: debug\n", NULL);
    assert_int_equal(l.rc, RS_OK);
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_string_equal(l.config->storage.root, "/srv");
    assert_int_equal(l.config->log.level, RS_LOG_DEBUG);
    unload(&l);
}

static void missing_file(void **state)
{
    (void)state;
    struct rs_err err;
    struct rs_config *config = NULL;
    struct loaded l = {.rc = RS_OK};
    rs_buf_init(&l.told, 1024);
    rs_buf_init(&l.texts, 1024);
    assert_int_equal(rs_config_load("/nonexistent/c.yml", NULL, told, &l, &config, &err), RS_E_NOT_FOUND);
    assert_null(config);
    assert_string_equal(rs_buf_z(&l.told), "E /nonexistent/c.yml file\n");
    assert_non_null(strstr(err.text, "/nonexistent/c.yml"));
    assert_int_equal(rs_config_load("/tmp", NULL, NULL, NULL, &config, NULL), RS_E_IO);
    assert_null(config);
    unload(&l);
}

static void first_error_is_returned(void **state)
{
    (void)state;
    struct loaded l = load("version: 0.1\nstorage: filesystem\nhttp: {addr: x}\nauth: {token: {}}\n", NULL);
    assert_int_equal(l.rc, RS_E_CONFIG);
    assert_non_null(strstr(l.err.text, ".yml:3: http.addr: needs host:port"));
    assert_non_null(strstr(l.err.text, "(and 1 more)"));
    unload(&l);
}

static void no_report_is_fine(void **state)
{
    (void)state;
    struct rs_config *config = NULL;
    char *environment[] = {(char *)(uintptr_t) "REGISTRY_FOO=1", NULL};
    assert_int_equal(rs_config_load(NULL, environment, NULL, NULL, &config, NULL), RS_OK);
    rs_config_free(&config);
    assert_null(config);
    rs_config_free(&config);
}

static void endpoints_of_notifications(void **state)
{
    struct loaded l = load("version: 0.1\nstorage: filesystem\nnotifications:\n  events: {includereferences: true}\n"
                           "  endpoints:\n"
                           "  - {name: off, disabled: true, url: 'http://off'}\n"
                           "  - {name: one, url: 'http://one/hook', headers: {A: [b, c], D: e}, timeout: 500ms,\n"
                           "     threshold: 5, backoff: 2s, ignoredmediatypes: [x/y],\n"
                           "     ignore: {mediatypes: [z], actions: [pull]}}\n"
                           "  - {name: two, url: 'https://two', timeout: 0s, threshold: 0}\n",
                           NULL);
    (void)state;
    assert_int_equal(l.rc, RS_OK);
    const struct rs_config_notifications *n = &l.config->notifications;
    assert_true(n->include_references);
    assert_int_equal(n->endpoint_count, 2);
    const struct rs_config_endpoint *e = &n->endpoints[0];
    assert_string_equal(e->name, "one");
    assert_string_equal(e->url, "http://one/hook");
    assert_int_equal(e->timeout_ms, 500);
    assert_int_equal(e->threshold, 5);
    assert_int_equal(e->backoff_ms, 2000);
    assert_int_equal(e->header_count, 2);
    assert_string_equal(e->headers[0].values.items[1], "c");
    assert_string_equal(e->headers[1].values.items[0], "e");
    assert_int_equal(e->ignored_types.count, 2);
    assert_string_equal(e->ignored_types.items[0], "x/y");
    assert_string_equal(e->ignored_types.items[1], "z");
    assert_int_equal(e->ignored_actions.count, 1);
    e++;
    assert_int_equal(e->timeout_ms, 1000);
    assert_int_equal(e->threshold, 10);
    assert_int_equal(e->backoff_ms, 1000);
    assert_int_equal(e->ignored_types.count, 0);
    assert_int_equal(n->queue_size, 256 << 20);
    assert_int_equal(n->batch, 1);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_of_notifications),
        cmocka_unit_test(defaults),
        cmocka_unit_test(default_limits),
        cmocka_unit_test(stock_file_2),
        cmocka_unit_test(stock_file_3),
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(own_values_arrive),
        cmocka_unit_test(bare_driver),
        cmocka_unit_test(empty_values_are_defaults),
        cmocka_unit_test(old_log_level),
        cmocka_unit_test(disabled_access_log_wins),
        cmocka_unit_test(entries_below_one_mean_the_default),
        cmocka_unit_test(anchors_work),
        cmocka_unit_test(broken_files),
        cmocka_unit_test(byte_order_mark),
        cmocka_unit_test(missing_file),
        cmocka_unit_test(first_error_is_returned),
        cmocka_unit_test(no_report_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
