/* SPDX-License-Identifier: Apache-2.0 */
/* What is accepted, what warns and what is refused: one row a rule. GOOD is two lines long. */
#include "told.h"

#define VERSION "version: 0.1\n"

static void version(void **state)
{
    static const struct told_case cases[] = {
        {"storage: filesystem\n", NULL, "E 1 version\n"},
        {"storage: filesystem\nversion: 0.2\n", NULL, "E 2 version\n"},
        {"storage: filesystem\nversion: [0.1]\n", NULL, "E 2 version\nE 2 version\n"},
        {"storage: filesystem\nversion: '0.1'\n", NULL, ""},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void drivers(void **state)
{
    static const struct told_case cases[] = {
        {VERSION, NULL, "E 1 storage\n"},
        {VERSION "storage:\n", NULL, "E 2 storage\n"},
        {VERSION "storage: {delete: {enabled: false}}\n", NULL, "E 2 storage\n"},
        {VERSION "storage: [filesystem]\n", NULL, "E 2 storage\n"},
        {VERSION "storage: inmemory\n", NULL, ""},
        {VERSION "storage: {inmemory: }\n", NULL, ""},
        {VERSION "storage: {inmemory: {}, delete: {enabled: false}}\n", NULL, ""},
        {VERSION "storage: {inmemory: {size: 5}}\n", NULL, "W 2 storage.inmemory.size\n"},
        {VERSION "storage: {inmemory: 5}\n", NULL, "E 2 storage.inmemory\n"},
        {VERSION "storage: {inmemory: , filesystem: }\n", NULL, "E 2 storage\n"},
        {VERSION "storage: {filesystem: , inmemory: }\n", NULL, "E 2 storage\n"},
        {VERSION "storage: inmemory\nroadstead: {storage: {inmemory_size: lots}}\n", NULL,
         "E 3 roadstead.storage.inmemory_size\n"},
        {VERSION "storage: inmemory\nroadstead: {storage: {inmemorysize: 5}}\n", NULL,
         "E 3 roadstead.storage.inmemorysize\n"},
        {VERSION "storage:\n  s3: {region: x, secretkey: y}\n", NULL, "E 3 storage.s3\n"},
        {VERSION "storage: s3aws\n", NULL, "E 2 storage.s3aws\n"},
        {VERSION "storage: {gcs: {bucket: x}}\n", NULL, "E 2 storage.gcs\n"},
        {VERSION "storage: {azure: {}}\n", NULL, "E 2 storage.azure\n"},
        {VERSION "storage: {swift: {}}\n", NULL, "E 2 storage.swift\n"},
        {VERSION "storage: {oss: {}}\n", NULL, "E 2 storage.oss\n"},
        {VERSION "storage: {floppy: {}}\n", NULL, "E 2 storage.floppy\n"},
        {VERSION "storage: floppy\n", NULL, "E 2 storage.floppy\n"},
        {VERSION "storage:\n  filesystem:\n  floppy:\n", NULL, "E 4 storage.floppy\nE 4 storage\n"},
        {VERSION "storage:\n  s3:\n  filesystem:\n", NULL, "E 3 storage.s3\nE 4 storage\n"},
        {VERSION "storage: {filesystem: /srv}\n", NULL, "E 2 storage.filesystem\n"},
        {VERSION "storage: {filesystem: {maxthreads: 100, colour: red}}\n", NULL, "W 2 storage.filesystem.colour\n"},
        {VERSION "storage: {filesystem: {maxthreads: '25'}}\n", NULL, "W 2 storage.filesystem.maxthreads\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void storage_options(void **state)
{
#define STORAGE VERSION "storage:\n  filesystem:\n"
    static const struct told_case cases[] = {
        {STORAGE "  delete: {enabled: false}\n", NULL, ""},
        {STORAGE "  delete: {enabled: true}\n", NULL, ""},
        {STORAGE "  delete: {enabled: sure}\n", NULL, "E 4 storage.delete.enabled\n"},
        {STORAGE "  redirect: {disable: true}\n", NULL, ""},
        {STORAGE "  redirect:\n", NULL, "E 4 storage.redirect\n"},
        {STORAGE "  redirect: {disable: 1}\n", NULL, "E 4 storage.redirect.disable\n"},
        {STORAGE "  redirect: {disable: 'true'}\n", NULL, "E 4 storage.redirect.disable\n"},
        {STORAGE "  redirect: yes\n", NULL, "E 4 storage.redirect\n"},
        {STORAGE "  cache: {blobdescriptor: inmemory, blobdescriptorsize: 5}\n", NULL, ""},
        {STORAGE "  cache: {layerinfo: inmemory}\n", NULL, ""},
        {STORAGE "  cache: {blobdescriptor: none}\n", NULL, ""},
        {STORAGE "  cache: {blobdescriptor: redis}\n", NULL, "W 4 storage.cache.blobdescriptor\n"},
        {STORAGE "  cache: {layerinfo: redis}\n", NULL, "W 4 storage.cache.layerinfo\n"},
        {STORAGE "  tag: {concurrencylimit: 4}\n", NULL, ""},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void proxies(void **state)
{
#define PROXIES(list) GOOD "roadstead: {http: {trusted_proxies: " list "}}\n"
    static const char key[] = "E 3 roadstead.http.trusted_proxies\n";
    static const struct told_case cases[] = {
        {PROXIES("[10.0.0.0/8, '2001:db8::/32', 127.0.0.1, '::1', unix]"), NULL, ""},
        {PROXIES("unix"), NULL, ""},
        {PROXIES("[]"), NULL, ""},
        {PROXIES("[10.0.0.1/8]"), NULL, key},
        {PROXIES("[10.0.0.0/33]"), NULL, key},
        {PROXIES("[localhost]"), NULL, key},
        {PROXIES("['127.0.0.1:80']"), NULL, key},
        {PROXIES("[Unix]"), NULL, key},
        {GOOD, "ROADSTEAD_HTTP_TRUSTED_PROXIES=[10.0.0.0/8]", ""},
        {GOOD, "ROADSTEAD_HTTP_TRUSTED_PROXIES=10.0.0.0/40",
         "E ROADSTEAD_HTTP_TRUSTED_PROXIES roadstead.http.trusted_proxies\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void maintenance(void **state)
{
#define UPKEEP STORAGE "  maintenance:\n"
#define PURGING "storage.maintenance.uploadpurging"
#define READONLY "storage.maintenance.readonly"
    static const struct told_case cases[] = {
        {UPKEEP, NULL, ""},
        {UPKEEP "    readonly: {enabled: false}\n", NULL, ""},
        {UPKEEP "    readonly:\n", NULL, "E 5 " READONLY "\n"},
        {UPKEEP "    readonly: {}\n", NULL, "E 5 " READONLY "\n"},
        {UPKEEP "    readonly: true\n", NULL, "E 5 " READONLY "\n"},
        {UPKEEP "    readonly: {enabled: 'true'}\n", NULL, "E 5 " READONLY ".enabled\n"},
        {UPKEEP "    readonly: {enabled: true, from: x}\n", NULL, "E 5 " READONLY ".from\n"},
        {UPKEEP "    uploadpurging: {enabled: false}\n", NULL, ""},
        {UPKEEP "    uploadpurging: {enabled: false, age: 168h, interval: 24h, dryrun: false}\n", NULL, ""},
        {UPKEEP "    uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}\n", NULL, ""},
        {UPKEEP "    uploadpurging: {age: 168h, interval: 24h, dryrun: false}\n", NULL, ""},
        {UPKEEP "    uploadpurging: {age: 168h, interval: 0s, dryrun: false}\n", NULL, "E 5 " PURGING ".interval\n"},
        {UPKEEP "    uploadpurging: {enabled: true, age: 168h}\n", NULL,
         "E 5 " PURGING "\nE 5 " PURGING "\n"}, /* interval and dryrun */
        {UPKEEP "    uploadpurging: {}\n", NULL, "E 5 " PURGING "\nE 5 " PURGING "\nE 5 " PURGING "\n"},
        {UPKEEP "    uploadpurging: {enabled: 'false', age: 168h, interval: 24h, dryrun: false}\n", NULL,
         "E 5 " PURGING ".enabled\n"},
        {UPKEEP "    uploadpurging: {enabled: false, age: old}\n", NULL, "E 5 " PURGING ".age\n"},
        {UPKEEP "    uploadpurging: {enabled: false, ages: 1h}\n", NULL, "E 5 " PURGING ".ages\n"},
        {UPKEEP "    gc: {enabled: true}\n", NULL, "E 5 storage.maintenance.gc\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void access_control(void **state)
{
    static const struct told_case cases[] = {
        {GOOD "auth:\n", NULL, ""},
        {GOOD "auth: {}\n", NULL, ""},
        {GOOD "auth: none\n", NULL, ""},
        {GOOD "auth: {none: {}}\n", NULL, ""},
        {GOOD "auth: htpasswd\n", NULL, "E 3 auth.htpasswd\n"},
        {GOOD "auth:\n  htpasswd:\n", NULL, "E 4 auth.htpasswd\n"},
        {GOOD "auth:\n  none:\n  htpasswd: {realm: x, path: y}\n", NULL, "E 5 auth.htpasswd\n"},
        {GOOD "auth: {token: {realm: x}}\n", NULL, "E 3 auth.token\n"},
        {GOOD "auth: {silly: {realm: x, service: y}}\n", NULL, "E 3 auth.silly\n"},
        {GOOD "auth: {ldap: {}}\n", NULL, "E 3 auth.ldap\n"},
        {GOOD "auth: [htpasswd]\n", NULL, "E 3 auth\n"},
        {GOOD "Auth: {htpasswd: {}}\n", NULL, "E 3 Auth\n"},
        {GOOD "policy: {repository: {classes: [image]}}\n", NULL, "E 3 policy\n"},
        {GOOD "policy: {repository: {classes: []}}\n", NULL, ""},
        {GOOD "policy: {other: 1}\n", NULL, "E 3 policy\n"},
        {GOOD "proxy: {remoteurl: ''}\n", NULL, ""},
        {GOOD "proxy: {ttl: 168h}\n", NULL, ""},
        {GOOD "proxy: {remoteurl: https://example.org}\n", NULL, "E 3 proxy\n"},
        {GOOD "proxy: {username: x}\n", NULL, "E 3 proxy\n"},
        {GOOD "proxy: {other: }\n", NULL, "E 3 proxy\n"},
        {GOOD "proxy: https://example.org\n", NULL, "E 3 proxy\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void tls(void **state)
{
    static const struct told_case cases[] = {
        {GOOD "http:\n  tls:\n", NULL, ""},
        {GOOD "http:\n  tls: {}\n", NULL, ""},
        {GOOD "http:\n  tls: {certificate: '', key: }\n", NULL, ""},
        {GOOD "http:\n  tls: {minimumtls: tls1.2}\n", NULL, ""},
        {GOOD "http:\n  tls: {minimumtls: tls1.3}\n", NULL, "E 4 http.tls\n"},
        {GOOD "http:\n  tls: {certificate: /a, key: /b}\n", NULL, "E 4 http.tls\n"},
        {GOOD "http:\n  tls: {clientcas: [/a]}\n", NULL, "E 4 http.tls\n"},
        {GOOD "http:\n  tls: {clientcas: []}\n", NULL, ""},
        {GOOD "http:\n  tls: {other: 1}\n", NULL, "E 4 http.tls\n"},
        {GOOD "http:\n  tls: true\n", NULL, "E 4 http.tls\n"},
        {GOOD "http:\n  TLS: {certificate: /a}\n", NULL, "E 4 http.TLS\n"},
        {GOOD "http:\n  tls:\n    letsencrypt: {cachefile: /a}\n", NULL, "E 4 http.tls\nE 5 http.tls.letsencrypt\n"},
        {GOOD "http:\n  tls:\n    letsencrypt: {cachefile: '', hosts: []}\n", NULL, ""},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
    struct loaded l = load(cases[11].yaml, NULL);
    assert_non_null(strstr(rs_buf_z(&l.texts), "certbot"));
    assert_non_null(strstr(rs_buf_z(&l.texts), "reload"));
    assert_non_null(strstr(rs_buf_z(&l.texts), "proxy in front"));
    unload(&l);
}

static void http(void **state)
{
    static const struct told_case cases[] = {
        {GOOD "http: {addr: ':http'}\n", NULL, "E 3 http.addr\n"},
        {GOOD "http: {addr: '5000'}\n", NULL, "E 3 http.addr\n"},
        {GOOD "http: {addr: ':65536'}\n", NULL, "E 3 http.addr\n"},
        {GOOD "http: {addr: '::1:5000'}\n", NULL, "E 3 http.addr\n"},
        {GOOD "http: {addr: 'localhost:0'}\n", NULL, ""},
        {GOOD "http: {net: unix, addr: /run/x}\n", NULL, ""},
        {GOOD "http: {net: udp}\n", NULL, "E 3 http.net\n"},
        {GOOD "http: {host: example.org}\n", NULL, "E 3 http.host\n"},
        {GOOD "http: {host: \"https://a\\r\\nb\"}\n", NULL, "E 3 http.host\n"},
        {GOOD "http: {prefix: images}\n", NULL, "E 3 http.prefix\n"},
        {GOOD "http: {prefix: /im/*/ages}\n", NULL, "E 3 http.prefix\n"},
        {GOOD "http: {prefix: '/'}\n", NULL, ""},
        {GOOD "http: {draintimeout: 60}\n", NULL, "E 3 http.draintimeout\n"},
        {GOOD "http: {draintimeout: -1s}\n", NULL, "E 3 http.draintimeout\n"},
        {GOOD "http: {relativeurls: maybe}\n", NULL, "E 3 http.relativeurls\n"},
        {GOOD "http: {headers: [a]}\n", NULL, "E 3 http.headers\n"},
        {GOOD "http: {headers: {A: {b: c}}}\n", NULL, "E 3 http.headers\n"},
        {GOOD "http: {headers: {'A B': [c]}}\n", NULL, "E 3 http.headers\n"},
        {GOOD "http: {headers: {A: [\"b\\r\\nSet-Cookie: c\"]}}\n", NULL, "E 3 http.headers\n"},
        {GOOD "http: {headers: {content-length: [5]}}\n", NULL, "E 3 http.headers\n"},
        {GOOD "http: {http2: {disabled: false}}\n", NULL, ""},
        {GOOD "http: {h2c: {enabled: false}}\n", NULL, ""},
        {GOOD "http: {h2c: {enabled: true}}\n", NULL, "W 3 http.h2c.enabled\n"},
        {GOOD "http: {debug: {addr: ':5001'}}\n", NULL, ""},
        {GOOD "http: {debug: {addr: '5001'}}\n", NULL, "E 3 http.debug.addr\n"},
        {GOOD "http: {debug: {prometheus: {enabled: true}}}\n", NULL, "W 3 http.debug.prometheus\n"},
        {GOOD "http: {debug: {addr: ':1', prometheus: {path: metrics}}}\n", NULL, "E 3 http.debug.prometheus.path\n"},
        {GOOD "http: {debug: {addr: ':1', prometheus: {path: /debug/health}}}\n", NULL,
         "E 3 http.debug.prometheus.path\n"},
        {GOOD "http: {debug: {addr: ':1', prometheus: {path: /a/*}}}\n", NULL, "E 3 http.debug.prometheus.path\n"},
        {GOOD "http: {debug: {addr: '', prometheus: {enabled: false, path: /metrics}}}\n", NULL, ""},
        {GOOD "http: {secret: '***'}\n", NULL, "W 3 http.secret\n"},
        {GOOD "http: {adress: x}\n", NULL, "W 3 http.adress\n"},
        {GOOD "HTTP: {addr: x}\n", NULL, "E 3 HTTP\n"}, /* it may hold tls */
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void logging(void **state)
{
    static const struct told_case cases[] = {
        {GOOD "log: {level: loud}\n", NULL, "E 3 log.level\n"},
        {GOOD "log: {formatter: xml}\n", NULL, "E 3 log.formatter\n"},
        {GOOD "log: {reportcaller: false}\n", NULL, ""},
        {GOOD "log: {reportcaller: true}\n", NULL, "W 3 log.reportcaller\n"},
        {GOOD "log: {fields: {a: {b: c}}}\n", NULL, "W 3 log.fields\n"},
        {GOOD "log: {fields: a}\n", NULL, "E 3 log.fields\n"},
        {GOOD "log:\n  hooks:\n  - {type: mail, disabled: true}\n  - {type: mail, levels: [panic]}\n", NULL,
         "W 6 log.hooks[1]\n"},
        {GOOD "loglevel: loud\n", NULL, "E 3 loglevel\n"},
        {GOOD "log: {accesslog: {disabled: 1}}\n", NULL, "E 3 log.accesslog.disabled\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

#define ENDPOINTS GOOD "notifications:\n  endpoints:\n"

static void notifications(void **state)
{
    static const struct told_case cases[] = {
        {GOOD "notifications: {endpoints: []}\n", NULL, ""},
        {GOOD "notifications: {events: {includereferences: true}}\n", NULL, ""},
        {GOOD "notifications: {endpoints: {name: x}}\n", NULL, "E 3 notifications.endpoints\n"},
        {ENDPOINTS "  - {name: a, disabled: true}\n  - {name: b, url: 'http://x', timeout: 5s, threshold: 3}\n", NULL,
         ""},
        {ENDPOINTS "  - {name: b, url: 'http://x', timeout: 500}\n", NULL, "E 5 notifications.endpoints[0].timeout\n"},
        {ENDPOINTS "  - {name: b, url: 'http://x', threshold: -1}\n", NULL,
         "E 5 notifications.endpoints[0].threshold\n"},
        {ENDPOINTS "  - {name: b, url: 'http://x', backof: 1s}\n", NULL, "W 5 notifications.endpoints[0].backof\n"},
        {ENDPOINTS "  - name: b\n", NULL, "E 5 notifications.endpoints[0]\n"},
        {ENDPOINTS "  - {name: b, url: 'ftp://x'}\n", NULL, "E 5 notifications.endpoints[0]\n"},
        {ENDPOINTS "  - {name: b, url: 'https://'}\n", NULL, "E 5 notifications.endpoints[0]\n"},
        {ENDPOINTS "  - {name: b, url: 'http://a b'}\n", NULL, "E 5 notifications.endpoints[0]\n"},
        {ENDPOINTS "  - {name: b, url: '***'}\n", NULL, "W 5 notifications.endpoints[0]\n"},
        {ENDPOINTS "  - {url: 'http://x'}\n", NULL, "W 5 notifications.endpoints[0]\n"},
        {ENDPOINTS "  - {name: b, url: 'http://x'}\n  - {name: b, url: 'http://y'}\n", NULL,
         "W 6 notifications.endpoints[1]\n"},
        {ENDPOINTS "  - {name: b, url: 'http://x', headers: {'A B': [c]}}\n", NULL, "E 5 notifications.endpoints[0]\n"},
        {ENDPOINTS "  - {name: b, url: 'http://x', headers: {A: [\"c\\n\"]}}\n", NULL,
         "E 5 notifications.endpoints[0]\n"},
        {ENDPOINTS "  - {name: b, url: 'http://x', ignore: {actions: [pull, poll]}}\n", NULL,
         "W 5 notifications.endpoints[0]\n"},
        {ENDPOINTS "  - {name: b, url: 'http://x', ignore: {actions: {a: b}}}\n", NULL,
         "E 5 notifications.endpoints[0].ignore.actions\n"},
        {ENDPOINTS "  - text\n", NULL, "E 5 notifications.endpoints[0]\n"},
        {GOOD "roadstead: {notifications: {queue_size: 1KiB}}\n", NULL, "E 3 roadstead.notifications.queue_size\n"},
        {GOOD "roadstead: {notifications: {batch: 0}}\n", NULL, "E 3 roadstead.notifications.batch\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void policies(void **state)
{
#define IMMUTABLE GOOD "roadstead:\n  immutable_tags:\n"
#define QUOTAS GOOD "roadstead:\n  quotas:\n"
    static const struct told_case cases[] = {
        {IMMUTABLE "  - {repositories: ['**']}\n  - {repositories: [a, 'b/**'], tags: ['v*', '[0-9]*']}\n", NULL, ""},
        {IMMUTABLE "  - {repositories: bare, tags: bare}\n", NULL, ""},
        {GOOD "roadstead: {immutable_tags: [], quotas: []}\n", NULL, ""},
        {GOOD "roadstead: {immutable_tags: {repositories: [a]}}\n", NULL, "E 3 roadstead.immutable_tags\n"},
        {IMMUTABLE "  -\n", NULL, "E 5 roadstead.immutable_tags[0]\n"},
        {IMMUTABLE "  - text\n", NULL, "E 5 roadstead.immutable_tags[0]\n"},
        {IMMUTABLE "  - {tags: [a]}\n", NULL, "E 5 roadstead.immutable_tags[0]\n"},
        {IMMUTABLE "  - {repositories: []}\n", NULL, "E 5 roadstead.immutable_tags[0]\n"},
        {IMMUTABLE "  - {repositories: [a], tags: []}\n", NULL, "E 5 roadstead.immutable_tags[0]\n"},
        {IMMUTABLE "  - {repositories: [a, '']}\n", NULL, "E 5 roadstead.immutable_tags[0]\n"},
        {IMMUTABLE "  - {repositories: [a, ~]}\n", NULL, "E 5 roadstead.immutable_tags[0]\n"},
        {IMMUTABLE "  - {repositories: {a: b}}\n", NULL, "E 5 roadstead.immutable_tags[0].repositories\n"},
        {IMMUTABLE "  - {repositories: [a], tags: [{b: c}]}\n", NULL, "E 5 roadstead.immutable_tags[0].tags\n"},
        {IMMUTABLE "  - {repositories: [a], tag: [b]}\n", NULL, "E 5 roadstead.immutable_tags[0].tag\n"},
        {IMMUTABLE "  - {repositories: [a]}\n  - repositories:\n    - a\n    - '[b'\n", NULL,
         "E 8 roadstead.immutable_tags[1]\n"},
        {IMMUTABLE "  - {repositories: [a], tags: ['b\\']}\n", NULL, "E 5 roadstead.immutable_tags[0]\n"},
        {GOOD, "ROADSTEAD_IMMUTABLE_TAGS_0_REPOSITORIES=['a']", ""},
        {GOOD, "ROADSTEAD_IMMUTABLE_TAGS_0_TAGS=['a']",
         "E ROADSTEAD_IMMUTABLE_TAGS_0_TAGS roadstead.immutable_tags[0]\n"},
        {GOOD, "ROADSTEAD_IMMUTABLE_TAGS=[{repositories: ['[a']}]",
         "E ROADSTEAD_IMMUTABLE_TAGS roadstead.immutable_tags[0]\n"},
        {QUOTAS "  - {repositories: ['**'], size: 10GiB}\n  - {repositories: [a], size: 1}\n", NULL, ""},
        {QUOTAS "  - {repositories: [a]}\n", NULL, "E 5 roadstead.quotas[0]\n"},
        {QUOTAS "  - {size: 1}\n", NULL, "E 5 roadstead.quotas[0]\n"},
        {QUOTAS "  -\n", NULL, "E 5 roadstead.quotas[0]\nE 5 roadstead.quotas[0]\n"},
        {QUOTAS "  - {repositories: [a], size: 0}\n", NULL, "E 5 roadstead.quotas[0].size\n"},
        {QUOTAS "  - {repositories: [a], size: -1}\n", NULL, "E 5 roadstead.quotas[0].size\n"},
        {QUOTAS "  - {repositories: [a], size: lots}\n", NULL, "E 5 roadstead.quotas[0].size\n"},
        {QUOTAS "  - {repositories: ['[a'], size: 1}\n", NULL, "E 5 roadstead.quotas[0]\n"},
        {QUOTAS "  - {repositories: [a], size: 1, tags: [b]}\n", NULL, "E 5 roadstead.quotas[0].tags\n"},
        {GOOD, "ROADSTEAD_QUOTAS_0_REPOSITORIES=['a']\nROADSTEAD_QUOTAS_0_SIZE=5GiB", ""},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void policies_are_read(void **state)
{
    struct loaded loaded = load(IMMUTABLE "  - {repositories: [a, 'b/**']}\n  - {repositories: c, tags: ['v*', w]}\n"
                                          "  quotas:\n  - {repositories: ['**'], size: 2KiB}\n",
                                NULL);
    (void)state;
    assert_int_equal(loaded.config->immutable_count, 2);
    const struct rs_config_immutable *tags = loaded.config->immutable;
    assert_int_equal(tags[0].repositories.count, 2);
    assert_string_equal(tags[0].repositories.items[1], "b/**");
    assert_int_equal(tags[0].tags.count, 1);
    assert_string_equal(tags[0].tags.items[0], "**");
    assert_string_equal(tags[1].repositories.items[0], "c");
    assert_int_equal(tags[1].tags.count, 2);
    assert_string_equal(tags[1].tags.items[1], "w");
    assert_int_equal(loaded.config->quota_count, 1);
    assert_int_equal(loaded.config->quotas[0].size, 2048);
    assert_string_equal(loaded.config->quotas[0].repositories.items[0], "**");
    unload(&loaded);
}

static void quotas_beyond_the_limit(void **state)
{
    struct rs_buf text;
    (void)state;
    rs_buf_init(&text, 64 * 1024);
    rs_buf_add_c(&text, QUOTAS);
    for (int i = 0; i < 65; i++)
        rs_buf_printf(&text, "  - {repositories: [r%d], size: 1}\n", i);
    const struct told_case cases[] = {{rs_buf_z(&text), NULL, "E 4 roadstead.quotas\n"}};
    check_cases(cases, 1);
    rs_buf_release(&text);
}

static void endpoints_beyond_the_limit(void **state)
{
    struct rs_buf text;
    (void)state;
    rs_buf_init(&text, 64 * 1024);
    rs_buf_add_c(&text, ENDPOINTS);
    for (int i = 0; i < 65; i++)
        rs_buf_printf(&text, "  - {name: e%d, url: 'http://x'}\n", i);
    const struct told_case cases[] = {{rs_buf_z(&text), NULL, "E 4 notifications.endpoints\n"}};
    check_cases(cases, 1);
    rs_buf_release(&text);
}

static void sections_without_effect(void **state)
{
    static const struct told_case cases[] = {
        {GOOD "redis: {}\n", NULL, ""},
        {GOOD "redis: {addr: 'x:1', password: y}\n", NULL, "W 3 redis\n"},
        {GOOD "redis: {options: {addrs: [x]}}\n", NULL, "W 3 redis\n"},
        {GOOD "health: {storagedriver: {enabled: false, interval: 5s}}\n", NULL, ""},
        {GOOD "health: {storagedriver: {interval: 5s}}\n", NULL, ""},
        {GOOD "middleware:\n  storage:\n  - {name: cloudfront, options: {baseurl: x}}\n  - {name: y, disabled: true}\n",
         NULL, "W 5 middleware.storage[0]\n"},
        {GOOD "middleware: {registry: [{name: x}], repository: [{name: y}]}\n", NULL,
         "W 3 middleware.registry[0]\nW 3 middleware.repository[0]\n"},
        {GOOD "compatibility: {schema1: {enabled: true}}\n", NULL, "W 3 compatibility\n"},
        {GOOD "compatibility: {schema1: {enabled: false}}\n", NULL, ""},
        {GOOD "reporting: {newrelic: {licensekey: x}}\n", NULL, "W 3 reporting\n"},
        {GOOD "catalog: {maxentries: many}\n", NULL, "E 3 catalog.maxentries\n"},
        {GOOD "tags: {maxtags: 1.5}\n", NULL, "E 3 tags.maxtags\n"},
        {GOOD "unheard: {of: 1}\nx-extra: [1]\n", NULL, "W 3 unheard\nW 4 x-extra\n"},
        {GOOD "'': 1\n", NULL, "W 3 (empty)\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void validation(void **state)
{
#define URLS GOOD "validation:\n  manifests:\n    urls:\n"
#define INDEXES GOOD "validation:\n  manifests:\n    indexes:\n"
    static const struct told_case cases[] = {
        {GOOD "validation: {disabled: true}\n", NULL, ""},
        {GOOD "validation: {enabled: maybe}\n", NULL, "E 3 validation.enabled\n"},
        {GOOD "validation:\n", NULL, ""},
        {URLS "      allow: ['^https://a\\.b/', x]\n      deny: [y]\n", NULL, ""},
        {URLS "      deny: bare\n", NULL, ""},
        {URLS "      allow:\n      - good\n      - '(bad'\n", NULL, "E 8 validation.manifests.urls.allow\n"},
        {URLS "      deny: '*'\n", NULL, "E 6 validation.manifests.urls.deny\n"},
        {URLS "      deny: {a: b}\n", NULL, "E 6 validation.manifests.urls.deny\n"},
        {GOOD "validation: {disabled: true, manifests: {urls: {allow: ['[']}}}\n", NULL,
         "E 3 validation.manifests.urls.allow\n"},
        {INDEXES "      platforms: none\n", NULL, ""},
        {INDEXES "      platforms: some\n", NULL, "E 6 validation.manifests.indexes.platforms\n"},
        {INDEXES "      platforms: list\n", NULL, "W 6 validation.manifests.indexes.platforms\n"},
        {INDEXES "      platforms: list\n      platformlist:\n      - {architecture: amd64, os: linux}\n", NULL, ""},
        {INDEXES "      platforms: list\n      platformlist:\n      - {architecture: amd64}\n", NULL,
         "W 8 validation.manifests.indexes.platformlist\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void health(void **state)
{
    static const struct told_case cases[] = {
        {GOOD "health: {storagedriver: {enabled: true, interval: 5s, threshold: 3}}\n", NULL, ""},
        {GOOD "health: {storagedriver: {enabled: yess}}\n", NULL, "E 3 health.storagedriver.enabled\n"},
        {GOOD "health: {storagedriver: {enabled: true, interval: 5}}\n", NULL, "E 3 health.storagedriver.interval\n"},
        {GOOD "health: {storagedriver: {enabled: true, threshold: -1}}\n", NULL,
         "E 3 health.storagedriver.threshold\n"},
        {GOOD "health: {file: [{file: /a}], tcp: [{addr: 'a:1'}], http: [{uri: 'https://a'}]}\n", NULL, ""},
        {GOOD "health:\n  file:\n  - {file: /a}\n  - {interval: 1s}\n", NULL, "E 6 health.file[1]\n"},
        {GOOD "health: {file: {file: /a}}\n", NULL, "E 3 health.file\n"},
        {GOOD "health: {file: [{file: [/a]}]}\n", NULL, "E 3 health.file[0].file\n"},
        {GOOD "health: {http: [{uri: a}]}\n", NULL, "E 3 health.http[0]\n"},
        {GOOD "health: {http: [{uri: '***'}]}\n", NULL, "W 3 health.http[0]\n"},
        {GOOD "health: {http: [{timeout: 1s}]}\n", NULL, "E 3 health.http[0]\n"},
        {GOOD "health: {http: [{uri: 'http://a', statuscode: OK}]}\n", NULL, "E 3 health.http[0].statuscode\n"},
        {GOOD "health: {http: [{uri: 'http://a', headers: {'A B': [c]}}]}\n", NULL, "E 3 health.http[0]\n"},
        {GOOD "health: {tcp: [{addr: a}]}\n", NULL, "E 3 health.tcp[0]\n"},
        {GOOD "health: {tcp: [{addr: 'a:1', timeout: 2h}]}\n", NULL, "E 3 health.tcp[0].timeout\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void checks_beyond_the_limit(void **state)
{
    struct rs_buf text;
    (void)state;
    rs_buf_init(&text, 64 * 1024);
    rs_buf_add_c(&text, GOOD "health:\n  file:\n");
    for (int i = 0; i < 60; i++)
        rs_buf_printf(&text, "  - {file: /f%d}\n", i);
    const struct told_case cases[] = {{rs_buf_z(&text), NULL, "E 3 health\n"}};
    check_cases(cases, 1);
    rs_buf_release(&text);
}

static void our_own(void **state)
{
    static const struct told_case cases[] = {
        {GOOD "roadstead: {}\n", NULL, ""},
        {GOOD "roadstead: {colour: red}\n", NULL, "E 3 roadstead.colour\n"},
        {GOOD "roadstead: {http: {max_conections: 5}}\n", NULL, "E 3 roadstead.http.max_conections\n"},
        {GOOD "roadstead: {log: {acess: none}}\n", NULL, "E 3 roadstead.log.acess\n"},
        {GOOD "Roadstead: {http: {max_connections: 5}}\n", NULL, "E 3 Roadstead\n"},
        {GOOD "roadstead: 5\n", NULL, "E 3 roadstead\n"},
        {GOOD "roadstead: {http: {max_connections: 0}}\n", NULL, "E 3 roadstead.http.max_connections\n"},
        {GOOD "roadstead: {http: {lanes: -1}}\n", NULL, "E 3 roadstead.http.lanes\n"},
        {GOOD "roadstead: {http: {head_time: 10}}\n", NULL, "E 3 roadstead.http.head_time\n"},
        {GOOD "roadstead: {http: {head_time: 0s}}\n", NULL, "E 3 roadstead.http.head_time\n"},
        {GOOD "roadstead: {http: {head_time: 25h}}\n", NULL, "E 3 roadstead.http.head_time\n"},
        {GOOD "roadstead: {http: {max_head: 1KB}}\n", NULL, "E 3 roadstead.http.max_head\n"},
        {GOOD "roadstead: {http: {max_head: 100}}\n", NULL, "E 3 roadstead.http.max_head\n"},
        {GOOD "roadstead: {http: {max_head: 99999999999999999999G}}\n", NULL, "E 3 roadstead.http.max_head\n"},
        {GOOD "roadstead: {manifest_cache: 1.5MiB}\n", NULL, "E 3 roadstead.manifest_cache\n"},
        {GOOD "roadstead: {http: {reserved_workers: 256}}\n", NULL, "E 3 roadstead.http.reserved_workers\n"},
        {GOOD "roadstead: {http: {max_workers: 32}}\n", NULL, "E 3 roadstead.http.reserved_workers\n"},
        {GOOD "roadstead: {http: {listen: 'tcp://:5001'}}\n", NULL, ""},
        {GOOD "roadstead: {http: {listen: [':5001']}}\n", NULL, "E 3 roadstead.http.listen\n"},
        {GOOD "roadstead: {http: {listen: ['tcp://x']}}\n", NULL, "E 3 roadstead.http.listen\n"},
        {GOOD "roadstead: {http: {listen: ['unix://']}}\n", NULL, "E 3 roadstead.http.listen\n"},
        {GOOD "roadstead: {http: {listen: {a: b}}}\n", NULL, "E 3 roadstead.http.listen\n"},
        {GOOD "roadstead: {log: {access: some}}\n", NULL, "E 3 roadstead.log.access\n"},
        {GOOD "roadstead: {user: [a]}\n", NULL, "E 3 roadstead.user\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void problems_come_in_the_order_of_lines(void **state)
{
    static const struct told_case cases[] = {
        {"colour: red\nauth: htpasswd\nhttp: {addr: x}\nstorage: s3\nversion: 9\n", "REGISTRY_X=1\nREGISTRY_A=2",
         "W 1 colour\nE 2 auth.htpasswd\nE 3 http.addr\nE 4 storage.s3\nE 5 version\n"
         "W REGISTRY_A variable\nW REGISTRY_X variable\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

/* Wherever a secret stands, and whatever is wrong with it, no text shows it. */
static void texts_hold_no_secrets(void **state)
{
    static const char *const files[] = {
        "version: 0.1\nstorage: {s3: {accesskey: HUSH, secretkey: [HUSH], keyid: {HUSH: HUSH}}}\n",
        GOOD "http: {secret: [HUSH]}\n",
        GOOD "http: {secret: {a: HUSH}}\n",
        GOOD "http: {secret: \"HUSH\n",
        GOOD "redis: {password: HUSH}\nproxy: {remoteurl: 'https://u:HUSH@x', password: HUSH}\n",
        GOOD "notifications: {endpoints: [{url: 'https://u:HUSH@x', headers: {Authorization: [HUSH]}}]}\n",
        GOOD "log: {hooks: [{options: {smtp: {password: HUSH}}}]}\nreporting: {bugsnag: {apikey: HUSH}}\n",
        GOOD "middleware: {storage: [{name: cloudfront, options: {privatekey: HUSH}}]}\npaswort: HUSH\n",
        GOOD "http: {headers: {'A B': [HUSH], B: [\"HUSH\\n\"]}}\n",
    };
    (void)state;
    for (size_t i = 0; i < RS_COUNT(files); i++) {
        struct loaded l = load(files[i], "REGISTRY_HTTP_SECRET={HUSH\nREGISTRY_REDIS_PASSWORD=[HUSH\nREGISTRY_Q=HUSH");
        assert_true(l.told.len > 0);
        assert_null(strstr(rs_buf_z(&l.texts), "HUSH"));
        assert_null(strstr(rs_buf_z(&l.told), "HUSH"));
        assert_true(l.rc == RS_OK || strstr(l.err.text, "HUSH") == NULL);
        unload(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version),
        cmocka_unit_test(drivers),
        cmocka_unit_test(proxies),
        cmocka_unit_test(storage_options),
        cmocka_unit_test(maintenance),
        cmocka_unit_test(access_control),
        cmocka_unit_test(tls),
        cmocka_unit_test(http),
        cmocka_unit_test(logging),
        cmocka_unit_test(notifications),
        cmocka_unit_test(endpoints_beyond_the_limit),
        cmocka_unit_test(policies),
        cmocka_unit_test(policies_are_read),
        cmocka_unit_test(quotas_beyond_the_limit),
        cmocka_unit_test(sections_without_effect),
        cmocka_unit_test(validation),
        cmocka_unit_test(health),
        cmocka_unit_test(checks_beyond_the_limit),
        cmocka_unit_test(our_own),
        cmocka_unit_test(problems_come_in_the_order_of_lines),
        cmocka_unit_test(texts_hold_no_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
