/* SPDX-License-Identifier: Apache-2.0 */
/* REGISTRY_* and ROADSTEAD_* variables, on top of a file and without one. */
#include "told.h"

static void scalars_and_sections(void **state)
{
    (void)state;
    struct loaded l = load(GOOD "http: {addr: ':80', relativeurls: true}\n",
                           "REGISTRY_HTTP_ADDR=:5000\n"
                           "REGISTRY_LOG_LEVEL=debug\n"
                           "REGISTRY_LOG={formatter: json}\n" /* sorts before LOG_LEVEL, and replaces the section */
                           "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/data\n"
                           "REGISTRY_CATALOG_MAXENTRIES=7\n"
                           "REGISTRY_HTTP_DRAINTIMEOUT=5s");
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_string_equal(l.config->http.addr, ":5000");
    assert_true(l.config->http.relative_urls);
    assert_int_equal(l.config->log.level, RS_LOG_DEBUG);
    assert_int_equal(l.config->log.format, RS_LOG_JSON);
    assert_string_equal(l.config->storage.root, "/data");
    assert_int_equal(l.config->catalog_max_entries, 7);
    assert_int_equal(l.config->http.drain_ms, 5000);
    unload(&l);
}

static void without_a_file(void **state)
{
    (void)state;
    struct loaded l = load(NULL, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/srv\nREGISTRY_HTTP_ADDR=:0\n"
                                 "REGISTRY_VERSION=0.1");
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_string_equal(l.config->storage.root, "/srv");
    assert_string_equal(l.config->http.addr, ":0");
    unload(&l);
}

static void an_empty_value_is_the_default(void **state)
{
    (void)state;
    struct loaded l = load(GOOD "http: {addr: ':80'}\nauth: htpasswd\n", "REGISTRY_HTTP_ADDR=\nREGISTRY_AUTH=");
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_string_equal(l.config->http.addr, "127.0.0.1:5000");
    unload(&l);
}

/* Both forms: the section as YAML, and the key alone. */
static void readonly(void **state)
{
    static const char *const forms[] = {
        "REGISTRY_STORAGE_MAINTENANCE_READONLY=enabled: true",
        "REGISTRY_STORAGE_MAINTENANCE_READONLY={enabled: true}",
        "REGISTRY_STORAGE_MAINTENANCE_READONLY={\"enabled\":true}",
        "REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED=true",
        "REGISTRY_STORAGE_MAINTENANCE={readonly: {enabled: true}}",
    };
    static const char *const files[] = {
        GOOD,
        "version: 0.1\nstorage: filesystem\n",
        "version: 0.1\nstorage: {filesystem: , maintenance: {readonly: {enabled: false}}}\n",
    };
    (void)state;
    for (size_t i = 0; i < RS_COUNT(forms); i++)
        for (size_t k = 0; k < RS_COUNT(files); k++) {
            struct loaded l = load(files[k], forms[i]);
            assert_string_equal(rs_buf_z(&l.told), "");
            assert_true(l.config->storage.read_only);
            unload(&l);
        }
}

static void names_are_in_lower_case(void **state)
{
    (void)state;
    struct loaded l = load(GOOD "http: {headers: {X-One: [a], X-Two: [b]}}\nlog: {fields: {service: x}}\n",
                           "REGISTRY_HTTP_HEADERS_X-ONE=[c, d]\n" /* the case of a header's name does not matter */
                           "REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin=['*']\n"
                           "REGISTRY_HTTP_HEADERS_X-Two_1=e\n"
                           "REGISTRY_LOG_FIELDS_SERVICE=y\n"
                           "REGISTRY_LOG_FIELDS_HOST_NAME=z");
    assert_string_equal(rs_buf_z(&l.told), "");
    const struct rs_config_http *http = &l.config->http;
    assert_int_equal(http->header_count, 3);
    assert_string_equal(http->headers[0].name, "X-One");
    assert_int_equal(http->headers[0].values.count, 2);
    assert_string_equal(http->headers[0].values.items[1], "d");
    assert_int_equal(http->headers[1].values.count, 2);
    assert_string_equal(http->headers[1].values.items[1], "e");
    assert_string_equal(http->headers[2].name, "access-control-allow-origin");
    assert_int_equal(l.config->log.field_count, 2);
    assert_true(rs_str_eq_c(l.config->log.fields[0].value, "y"));
    assert_string_equal(l.config->log.fields[1].key, "host_name");
    unload(&l);
}

/* The names in the registry's tongue, and the keys'. Each reaches a key that has something to say. */
static void both_spellings(void **state)
{
    static const struct told_case cases[] = {
        {GOOD, "REGISTRY_HEALTH_FILECHECKERS=[{fil: /a}]",
         "W REGISTRY_HEALTH_FILECHECKERS health.file[0].fil\nE REGISTRY_HEALTH_FILECHECKERS health.file[0]\n"},
        {GOOD, "REGISTRY_HEALTH_FILE=[{interval: 1s}]", "E REGISTRY_HEALTH_FILE health.file[0]\n"},
        {GOOD, "REGISTRY_HEALTH_HTTPCHECKERS_0_URI=ftp://a", "E REGISTRY_HEALTH_HTTPCHECKERS_0_URI health.http[0]\n"},
        {GOOD, "REGISTRY_HEALTH_TCPCHECKERS_0_ADDR=a:b", "E REGISTRY_HEALTH_TCPCHECKERS_0_ADDR health.tcp[0]\n"},
        {GOOD, "REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES=maybe",
         "E REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES notifications.events.includereferences\n"},
        {GOOD, "REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES=maybe",
         "E REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES notifications.events.includereferences\n"},
        {GOOD, "REGISTRY_COMPATIBILITY_SCHEMA1_TRUSTKEY=/k", ""},
        {GOOD, "REGISTRY_COMPATIBILITY_SCHEMA1_TRUSTKEY=/k\nREGISTRY_COMPATIBILITY_SCHEMA1_ENABLED=true",
         "W REGISTRY_COMPATIBILITY_SCHEMA1_ENABLED compatibility\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void health_checks(void **state)
{
    (void)state;
    struct loaded l = load(GOOD, "REGISTRY_HEALTH_STORAGEDRIVER_ENABLED=true\n"
                                 "REGISTRY_HEALTH_STORAGEDRIVER_THRESHOLD=3\n"
                                 "REGISTRY_HEALTH_FILECHECKERS=[{file: /a, interval: 1s}]\n"
                                 "REGISTRY_HEALTH_HTTP_0_URI=http://u:p@b/c\n"
                                 "REGISTRY_HEALTH_HTTP_0_HEADERS={X-Key: [k]}\n"
                                 "REGISTRY_HEALTH_HTTPCHECKERS_0_TIMEOUT=250ms\n"
                                 "REGISTRY_HEALTH_TCPCHECKERS_0_ADDR=c:80\n"
                                 "REGISTRY_HEALTH_TCP_0_INTERVAL=1ms\n"
                                 "REGISTRY_HTTP_DEBUG_ADDR=:5001\n"
                                 "REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED=true");
    assert_int_equal(l.rc, RS_OK);
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_int_equal(l.config->health.check_count, 4);
    const struct rs_config_check *checks = l.config->health.checks;
    assert_int_equal(checks[0].kind, RS_CONFIG_CHECK_STORAGE);
    assert_int_equal(checks[0].threshold, 3);
    assert_int_equal(checks[0].interval_ms, 10000);
    assert_int_equal(checks[1].kind, RS_CONFIG_CHECK_FILE);
    assert_string_equal(checks[1].target, "/a");
    assert_int_equal(checks[1].interval_ms, 1000);
    assert_int_equal(checks[1].threshold, 1);
    assert_int_equal(checks[2].kind, RS_CONFIG_CHECK_HTTP);
    assert_string_equal(checks[2].target, "http://u:p@b/c");
    assert_int_equal(checks[2].timeout_ms, 250);
    assert_int_equal(checks[2].status, 200);
    assert_int_equal(checks[2].header_count, 1);
    assert_string_equal(checks[2].headers[0].values.items[0], "k");
    assert_int_equal(checks[3].kind, RS_CONFIG_CHECK_TCP);
    assert_int_equal(checks[3].interval_ms, 100); /* not as often as a mistake would have it */
    assert_int_equal(checks[3].timeout_ms, 5000);
    assert_string_equal(l.config->http.debug_addr, ":5001");
    assert_true(l.config->http.debug_metrics);
    assert_string_equal(l.config->http.debug_path, "/metrics");
    unload(&l);
}

static void list_indexes(void **state)
{
    (void)state;
    struct loaded l = load(GOOD "roadstead: {http: {listen: ['tcp://:1', 'tcp://:2']}}\n",
                           "ROADSTEAD_HTTP_LISTEN_0=tcp://:10\n" /* replaces */
                           "ROADSTEAD_HTTP_LISTEN_2=tcp://:3\n"  /* appends */
                           "ROADSTEAD_HTTP_LISTEN_3=tcp://:4\n"
                           "ROADSTEAD_HTTP_LISTEN_4=tcp://:5\n"
                           "ROADSTEAD_HTTP_LISTEN_5=tcp://:6\n"
                           "ROADSTEAD_HTTP_LISTEN_6=tcp://:7\n"
                           "ROADSTEAD_HTTP_LISTEN_7=tcp://:8\n"
                           "ROADSTEAD_HTTP_LISTEN_8=tcp://:9\n"
                           "ROADSTEAD_HTTP_LISTEN_9=tcp://:11\n"
                           "ROADSTEAD_HTTP_LISTEN_10=tcp://:12\n" /* after 9, though '1' sorts before it */
                           "ROADSTEAD_HTTP_LISTEN_99=tcp://:13");
    assert_string_equal(rs_buf_z(&l.told), "W ROADSTEAD_HTTP_LISTEN_99 roadstead.http.listen[99]\n");
    const struct rs_config_list *extra = &l.config->http.extra;
    static const char *const expected[] = {"tcp://:10", "tcp://:2", "tcp://:3", "tcp://:4",  "tcp://:5", "tcp://:6",
                                           "tcp://:7",  "tcp://:8", "tcp://:9", "tcp://:11", "tcp://:12"};
    assert_int_equal(extra->count, RS_COUNT(expected));
    for (size_t i = 0; i < RS_COUNT(expected); i++)
        assert_string_equal(extra->items[i], expected[i]);
    unload(&l);
    l = load(GOOD, "ROADSTEAD_HTTP_LISTEN_0=tcp://:1\nROADSTEAD_HTTP_LISTEN_1=tcp://:2");
    assert_int_equal(l.config->http.extra.count, 2);
    unload(&l);
    l = load(GOOD "roadstead: {http: {listen: 'tcp://:1'}}\n", "ROADSTEAD_HTTP_LISTEN_1=tcp://:2");
    assert_int_equal(l.config->http.extra.count, 2); /* the bare string is the first */
    unload(&l);
}

static void whole_driver(void **state)
{
    static const struct told_case cases[] = {
        {GOOD, "REGISTRY_STORAGE=filesystem", ""},
        {GOOD, "REGISTRY_STORAGE=filesystem\nREGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/srv", ""},
        {GOOD, "REGISTRY_STORAGE=s3", "E REGISTRY_STORAGE storage.s3\n"},
        {GOOD, "REGISTRY_STORAGE=s3\nREGISTRY_STORAGE_S3_BUCKET=b", "E REGISTRY_STORAGE storage.s3\n"},
        {GOOD, "REGISTRY_STORAGE_S3_BUCKET=b",
         "E REGISTRY_STORAGE_S3_BUCKET storage.s3\nE REGISTRY_STORAGE_S3_BUCKET storage\n"},
        {"version: 0.1\nstorage: s3\n", "REGISTRY_STORAGE={filesystem: {}}", ""},
        {"version: 0.1\nstorage: filesystem\n", "REGISTRY_STORAGE_DELETE_ENABLED=false", ""},
        {"version: 0.1\n", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/srv", ""},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void refused_as_in_the_file(void **state)
{
    static const struct told_case cases[] = {
        {GOOD, "REGISTRY_AUTH=htpasswd", "E REGISTRY_AUTH auth.htpasswd\n"},
        {GOOD, "REGISTRY_AUTH=htpasswd\nREGISTRY_AUTH_HTPASSWD_REALM=x\nREGISTRY_AUTH_HTPASSWD_PATH=/a",
         "E REGISTRY_AUTH auth.htpasswd\n"},
        {GOOD, "REGISTRY_AUTH_TOKEN_REALM=x", "E REGISTRY_AUTH_TOKEN_REALM auth.token\n"},
        {GOOD "auth: none\n", "REGISTRY_AUTH_TOKEN_REALM=x", "E REGISTRY_AUTH_TOKEN_REALM auth.token\n"},
        {GOOD, "REGISTRY_AUTH=none", ""},
        {GOOD, "REGISTRY_AUTH=ldap", "E REGISTRY_AUTH auth.ldap\n"},
        {GOOD, "REGISTRY_AUTH={ldap: {}}", "E REGISTRY_AUTH auth.ldap\n"},
        {GOOD, "REGISTRY_HTTP_TLS_CERTIFICATE=/a", "E REGISTRY_HTTP_TLS_CERTIFICATE http.tls\n"},
        {GOOD "http:\n  tls: {}\n", "REGISTRY_HTTP_TLS_CERTIFICATE=/a", "E REGISTRY_HTTP_TLS_CERTIFICATE http.tls\n"},
        {GOOD, "REGISTRY_HTTP_TLS_CLIENTCAS_0=/a\nREGISTRY_HTTP_TLS_CLIENTCAS_1=/b",
         "E REGISTRY_HTTP_TLS_CLIENTCAS_0 http.tls\n"},
        {GOOD, "REGISTRY_HTTP_TLS_CLIENTCAS=[/a.pem, /b.pem]", "E REGISTRY_HTTP_TLS_CLIENTCAS http.tls\n"},
        {GOOD, "REGISTRY_PROXY_REMOTEURL=https://x", "E REGISTRY_PROXY_REMOTEURL proxy\n"},
        {GOOD, "REGISTRY_PROXY_REMOTEURL=", ""},
        {GOOD, "REGISTRY_POLICY_REPOSITORY_CLASSES=[image]", "E REGISTRY_POLICY_REPOSITORY_CLASSES policy\n"},
        {GOOD, "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING={enabled: true, age: 1h, interval: 1h, dryrun: no}", ""},
        {GOOD, "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING={enabled: true, age: 1h, interval: 1h}",
         "E REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING storage.maintenance.uploadpurging\n"},
        {GOOD, "REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING_ENABLED=false", ""},
        {GOOD, "REGISTRY_STORAGE_MAINTENANCE={gc: {}}", "E REGISTRY_STORAGE_MAINTENANCE storage.maintenance.gc\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void unknown_names_warn(void **state)
{
    static const struct told_case cases[] = {
        {GOOD, "REGISTRY_PORT=tcp://10.0.0.1:5000", "W REGISTRY_PORT variable\n"},
        {GOOD, "REGISTRY_SERVICE_HOST=10.0.0.1", "W REGISTRY_SERVICE_HOST variable\n"},
        {GOOD, "REGISTRY_PORT_5000_TCP_ADDR=10.0.0.1", "W REGISTRY_PORT_5000_TCP_ADDR variable\n"},
        {GOOD, "REGISTRY_AUTH_PORT=tcp://x", "W REGISTRY_AUTH_PORT variable\n"},
        {GOOD, "REGISTRY_STORAGE_SERVICE_HOST=x", "W REGISTRY_STORAGE_SERVICE_HOST variable\n"},
        {GOOD, "REGISTRY_HTTP_ADDRESS=x", "W REGISTRY_HTTP_ADDRESS variable\n"},
        {GOOD, "REGISTRY_http_addr=x", "W REGISTRY_http_addr variable\n"},
        {GOOD, "REGISTRY_HTTP_ADDR_X=x", "W REGISTRY_HTTP_ADDR_X variable\n"},
        {GOOD, "REGISTRY_HTTP_TLS_CLIENTCAS_X=x", "W REGISTRY_HTTP_TLS_CLIENTCAS_X variable\n"},
        {GOOD, "REGISTRY_=x", "W REGISTRY_ variable\n"},
        {GOOD, "REGISTRY__HTTP=x", "W REGISTRY__HTTP variable\n"},
        {GOOD, "REGISTRY_ROADSTEAD_USER=x", ""}, /* the long form of ROADSTEAD_USER */
        {GOOD, "REGISTRY_\x1b[1m=x", "W REGISTRY_?[1m variable\n"},
        {GOOD, "REGISTRY_UNKNOWN={not: [yaml", "W REGISTRY_UNKNOWN variable\n"}, /* and its value is not read */
        {GOOD, "REGISTRY_LOG_FIELDS_\xdb=x", "W REGISTRY_LOG_FIELDS_? variable\n"},
        {GOOD, "REGISTRY_CONFIGURATION_PATH=/x", ""},
        {GOOD, "REGISTRY=x\nREGISTRYHTTP_ADDR=x\nregistry_http_addr=x\nREGISTRY_NOVALUE\nHOME=/", ""},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void bad_values(void **state)
{
    static const struct told_case cases[] = {
        {GOOD, "REGISTRY_HTTP_ADDR=[a", "E REGISTRY_HTTP_ADDR http.addr\n"},
        {GOOD, "REGISTRY_HTTP_ADDR=[a, b]", "E REGISTRY_HTTP_ADDR http.addr\n"},
        {GOOD, "REGISTRY_HTTP_SECRET=@x", "E REGISTRY_HTTP_SECRET http.secret\n"},
        {GOOD, "REGISTRY_HTTP_SECRET='@x'", ""},
        {GOOD, "REGISTRY_HTTP_RELATIVEURLS=perhaps", "E REGISTRY_HTTP_RELATIVEURLS http.relativeurls\n"},
        {GOOD, "REGISTRY_STORAGE_FILESYSTEM=/srv", "E REGISTRY_STORAGE_FILESYSTEM storage.filesystem\n"},
        {GOOD, "REGISTRY_HTTP={addr: ':1', addr: ':2'}", "E REGISTRY_HTTP http\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void our_variables(void **state)
{
    (void)state;
    struct loaded l = load(GOOD "roadstead: {http: {max_workers: 10, reserved_workers: 2}}\n",
                           "ROADSTEAD_HTTP_MAX_CONNECTIONS=50\n"
                           "ROADSTEAD_HTTP_MAX_BODY_WORKERS_PER_ADDRESS=3\n"
                           "ROADSTEAD_HTTP_LISTEN=[unix:///run/x]\n"
                           "ROADSTEAD_MANIFEST_CACHE=1G\n"
                           "ROADSTEAD_LOG_ACCESS=combined\n"
                           "ROADSTEAD_USER=nobody");
    assert_string_equal(rs_buf_z(&l.told), "");
    assert_int_equal(l.config->http.max_workers, 10);
    assert_int_equal(l.config->http.max_connections, 50);
    assert_int_equal(l.config->http.max_body_workers_per_address, 3);
    assert_string_equal(l.config->http.listen[1].address, "/run/x");
    assert_int_equal(l.config->manifest_cache, 1 << 30);
    assert_int_equal(l.config->log.access, RS_CONFIG_ACCESS_COMBINED);
    assert_string_equal(l.config->user, "nobody");
    unload(&l);
}

/* A misspelt limit protects nothing; but Kubernetes names variables after services. */
static void our_unknown_variables(void **state)
{
    static const struct told_case cases[] = {
        {GOOD, "ROADSTEAD_HTTP_MAXCONNECTIONS=1", "E ROADSTEAD_HTTP_MAXCONNECTIONS variable\n"},
        {GOOD, "ROADSTEAD_LOG_ACESS=none", "E ROADSTEAD_LOG_ACESS variable\n"},
        {GOOD, "ROADSTEAD_HTTP_SERVICE_PORT=80", "W ROADSTEAD_HTTP_SERVICE_PORT variable\n"},
        {GOOD, "ROADSTEAD_=1", "W ROADSTEAD_ variable\n"},
        {GOOD, "ROADSTEAD_COLOUR=red", "W ROADSTEAD_COLOUR variable\n"},
        {GOOD, "ROADSTEAD_TEST_FAULTS=x", ""},
        {GOOD, "ROADSTEAD_PORT=tcp://10.0.0.1:5000", "W ROADSTEAD_PORT variable\n"},
        {GOOD, "ROADSTEAD_PORT_5000_TCP_PROTO=tcp", "W ROADSTEAD_PORT_5000_TCP_PROTO variable\n"},
        {GOOD, "ROADSTEAD_WEB_SERVICE_HOST=x", "W ROADSTEAD_WEB_SERVICE_HOST variable\n"},
        {GOOD, "ROADSTEAD_SERVICE_PORT_HTTP=x", "W ROADSTEAD_SERVICE_PORT_HTTP variable\n"},
        {GOOD, "ROADSTEAD_HTTP={colour: red}", "E ROADSTEAD_HTTP roadstead.http.colour\n"},
        {GOOD, "ROADSTEAD_HTTP_LANES=many", "E ROADSTEAD_HTTP_LANES roadstead.http.lanes\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void deep_options(void **state)
{
    static const struct told_case cases[] = {
        {GOOD, "REGISTRY_STORAGE_AZURE_CREDENTIALS_TYPE=x",
         "E REGISTRY_STORAGE_AZURE_CREDENTIALS_TYPE storage.azure\n"
         "E REGISTRY_STORAGE_AZURE_CREDENTIALS_TYPE storage\n"},
        {GOOD, "REGISTRY_STORAGE_AZURE__X=x", "W REGISTRY_STORAGE_AZURE__X variable\n"},
        {GOOD, "REGISTRY_REDIS_TLS_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A=x",
         "W REGISTRY_REDIS_TLS_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A_A... variable\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_and_sections),
        cmocka_unit_test(without_a_file),
        cmocka_unit_test(an_empty_value_is_the_default),
        cmocka_unit_test(readonly),
        cmocka_unit_test(names_are_in_lower_case),
        cmocka_unit_test(both_spellings),
        cmocka_unit_test(health_checks),
        cmocka_unit_test(list_indexes),
        cmocka_unit_test(whole_driver),
        cmocka_unit_test(refused_as_in_the_file),
        cmocka_unit_test(unknown_names_warn),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(our_variables),
        cmocka_unit_test(our_unknown_variables),
        cmocka_unit_test(deep_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
