/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: registry:2's config.yml, REGISTRY_* and ROADSTEAD_* variables and defaults, made into one typed,
 * immutable snapshot. Every key stands in src/tbl/config.def; docs/CONFIGURATION.md explains them. A snapshot may be
 * read by any thread; loading keeps no state. Every string is NUL-terminated and belongs to the snapshot.
 */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

struct rs_config_list {
    const char **items;
    size_t count;
};

struct rs_config_header {
    const char *name;
    struct rs_config_list values;
};

struct rs_config_listen {
    const char *net;     /* "tcp" or "unix" */
    const char *address; /* as rs_http_listen takes it */
};

enum rs_config_net { RS_CONFIG_TCP, RS_CONFIG_UNIX };

/* roadstead.log.access: where the event of a request goes. */
enum rs_config_access {
    RS_CONFIG_ACCESS_EVENT,    /* into the log */
    RS_CONFIG_ACCESS_COMBINED, /* a line of the combined format on standard output */
    RS_CONFIG_ACCESS_BOTH,
    RS_CONFIG_ACCESS_NONE, /* also: log.accesslog.disabled */
};

struct rs_config_log {
    enum rs_log_level level;
    enum rs_log_format format;
    const struct rs_log_field *fields; /* log.fields */
    size_t field_count;
    bool access_disabled; /* the key as it stands; `access` counts */
    enum rs_config_access access;
};

enum rs_config_driver { RS_CONFIG_FILESYSTEM, RS_CONFIG_INMEMORY };

struct rs_config_purge { /* storage.maintenance.uploadpurging */
    bool enabled;
    bool dry_run;
    int64_t age_ms;
    int64_t interval_ms;
};

struct rs_config_storage {
    enum rs_config_driver driver;
    const char *root;       /* storage.filesystem.rootdirectory */
    uint64_t inmemory_size; /* bytes; 0: the driver's default */
    bool delete_enabled;
    bool redirect_disable;
    struct rs_config_purge purge;
    bool read_only; /* at the start; storage.maintenance.readonly.enabled: writes answer 405 */
};

struct rs_config_http {
    const struct rs_config_listen *listen; /* http.net and http.addr, then roadstead.http.listen; at least one */
    size_t listen_count;
    enum rs_config_net net; /* http.net and http.addr as they stand */
    const char *addr;
    const char *host;   /* "https://example.org" for Location headers, no slash at the end; "" if unset */
    const char *prefix; /* "/part" without a slash at the end; "" if unset */
    const char *secret; /* "" if unset. Never to be logged */
    bool relative_urls;
    const struct rs_config_header *headers; /* added to every reply */
    size_t header_count;
    const char *debug_addr; /* of the server for operators; "" if unset */
    bool debug_metrics;
    const char *debug_path;      /* of its metrics */
    int64_t drain_ms;            /* http.draintimeout; 0: unset */
    struct rs_config_list extra; /* roadstead.http.listen as it stands */

    /* roadstead.http.*: as in struct rs_http_config. */
    struct rs_config_list trusted_proxies;
    uint64_t lanes; /* 0: one a core */
    uint64_t max_connections;
    uint64_t max_workers;
    uint64_t reserved_workers;
    uint64_t max_body_workers_per_address;
    uint64_t max_head;
    int64_t head_ms;
    int64_t idle_ms;
    int64_t queue_ms;
    uint64_t min_rate; /* bytes/s; 0: none */
    int64_t rate_ms;
    int64_t stop_delay_ms; /* from the signal to the closing of the addresses */
};

/* An entry of notifications.endpoints that is not disabled. */
struct rs_config_endpoint {
    const char *name; /* may be empty, and another one's as well */
    const char *url;  /* may hold secrets */
    const struct rs_config_header *headers;
    size_t header_count;
    int64_t timeout_ms;
    uint64_t threshold; /* failures in a row before the pauses */
    int64_t backoff_ms;
    struct rs_config_list ignored_types; /* ignoredmediatypes and ignore.mediatypes */
    struct rs_config_list ignored_actions;
};

#define RS_CONFIG_ENDPOINTS_MAX 64

struct rs_config_notifications {
    bool include_references;
    const struct rs_config_endpoint *endpoints;
    size_t endpoint_count; /* at most RS_CONFIG_ENDPOINTS_MAX */
    uint64_t queue_size;   /* bytes on disk, of each endpoint */
    uint64_t batch;        /* events of one request, when several wait */
};

/* validation.manifests.indexes.platforms */
enum rs_config_platforms { RS_CONFIG_PLATFORMS_ALL, RS_CONFIG_PLATFORMS_NONE, RS_CONFIG_PLATFORMS_LIST };

struct rs_config_platform {
    const char *os;
    const char *architecture;
};

struct rs_config_validation {
    bool enabled; /* the keys as they stand; `active` counts */
    bool disabled;
    bool active;                 /* false: nothing of what follows has an effect */
    struct rs_config_list allow; /* patterns, known to be right */
    struct rs_config_list deny;
    enum rs_config_platforms platforms;
    const struct rs_config_platform *list;
    size_t list_count;
};

enum rs_config_check_kind { RS_CONFIG_CHECK_STORAGE, RS_CONFIG_CHECK_FILE, RS_CONFIG_CHECK_HTTP, RS_CONFIG_CHECK_TCP };

/* A check of the section health. */
struct rs_config_check {
    enum rs_config_check_kind kind;
    const char *target; /* path of a file; URI, which may hold secrets; host:port */
    const struct rs_config_header *headers;
    size_t header_count;
    uint64_t status; /* that an HTTP server is to answer */
    int64_t timeout_ms;
    int64_t interval_ms;
    uint64_t threshold; /* failures in a row that count, at least 1 */
};

#define RS_CONFIG_CHECKS_MAX 60

struct rs_config_health {
    const struct rs_config_check *checks;
    size_t check_count;   /* at most RS_CONFIG_CHECKS_MAX */
    bool storage_enabled; /* health.storagedriver as it stands */
    int64_t storage_interval_ms;
    uint64_t storage_threshold;
};

/* roadstead.collection: what nothing needs goes. The grace counts for every server, also one without a schedule. */
struct rs_config_collection {
    bool enabled; /* the server collects from time to time */
    int64_t interval_ms;
    int64_t grace_ms; /* what was used so short a time ago stays */
    bool delete_untagged;
    bool dry_run;
};

/* A rule of roadstead.retention.rules. 0: that part is not set; keep_last, older_than or not_pulled_for is. */
struct rs_config_retention_rule {
    struct rs_config_list repositories; /* globs (base/glob.h), known to be right */
    struct rs_config_list keep_tags;    /* the same */
    uint64_t keep_last;
    int64_t older_than_ms;
    int64_t not_pulled_for_ms;
};

#define RS_CONFIG_KEEP_LAST_MAX 10000

struct rs_config_retention {
    int64_t interval_ms;
    bool dry_run;
    const struct rs_config_retention_rule *rules; /* the first one that matches a repository holds for it */
    size_t rule_count;
};

/* An entry of roadstead.immutable_tags. */
struct rs_config_immutable {
    struct rs_config_list repositories; /* globs (base/glob.h), known to be right; at least one */
    struct rs_config_list tags;         /* the same; all tags by default */
};

/* An entry of roadstead.quotas. */
struct rs_config_quota {
    struct rs_config_list repositories; /* globs, known to be right; at least one */
    uint64_t size;                      /* bytes, at least 1 */
};

#define RS_CONFIG_QUOTAS_MAX 64

/* roadstead.check: looks at everything that is stored. */
struct rs_config_checking {
    bool enabled;
    int64_t interval_ms;
    uint64_t rate; /* bytes a second; 0: no limit */
    bool repair;
    bool hash;
};

struct rs_config {
    struct rs_config_log log;
    struct rs_config_storage storage;
    struct rs_config_http http;
    struct rs_config_notifications notifications;
    struct rs_config_validation validation;
    struct rs_config_health health;
    struct rs_config_collection collection;
    struct rs_config_checking check;
    struct rs_config_retention retention;
    const struct rs_config_immutable *immutable;
    size_t immutable_count;
    const struct rs_config_quota *quotas;
    size_t quota_count;           /* at most RS_CONFIG_QUOTAS_MAX */
    uint64_t catalog_max_entries; /* n above: 400 */
    uint64_t tags_max_tags;       /* n above is lowered to it */
    uint64_t manifest_cache;      /* bytes; 0: no cache */
    const char *state_dir;        /* "" if unset */
    const char *user;             /* to become after the listening; "" if unset */
    struct rs_config_private *priv;
};

/* Told of everything that was found, errors and warnings, in the order of the file. place: "config.yml:12" or a
 * variable's name; key is never empty. No text holds a secret. */
typedef void rs_config_report(void *ctx, bool is_error, const char *place, const char *key, const char *text);

/* path: NULL for the defaults (./data, 127.0.0.1:5000). environ: "NAME=value" strings, NULL-terminated; NULL: none.
 * report may be NULL. With any error: RS_E_CONFIG (RS_E_NOT_FOUND, RS_E_IO if the file cannot be read), the first one's
 * text in err, no snapshot. The caller frees *out. */
rs_rc rs_config_load(const char *path, char *const *environ, rs_config_report *report, void *ctx,
                     struct rs_config **out, struct rs_err *err);
void rs_config_free(struct rs_config **config); /* wipes what it held */

/* Appends the effective configuration as YAML that loads again, secrets masked. */
void rs_config_print(const struct rs_config *config, struct rs_buf *out);
