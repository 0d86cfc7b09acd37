/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/opened.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/process.h"
#include "storage/faulty.h"
#include "upkeep/retention.h"

static rs_rc add_faults(struct rs_opened *o, struct rs_err *err)
{
    const char *plan = getenv("ROADSTEAD_TEST_FAULTS");

    if (plan == NULL || plan[0] == '\0')
        return RS_OK;
    rs_storage_faulty_new(rs_take(&o->storage), &o->storage);
    RS_TRY(rs_storage_faulty_parse(o->storage, rs_str_c(plan), err));
    rs_log(RS_LOG_WARN, "ROADSTEAD_TEST_FAULTS is set: the storage fails on purpose (%s)", plan);
    return RS_OK;
}

static rs_rc open_storage(struct rs_opened *o, struct rs_err *err)
{
    const char *user = o->config->user;

    if (o->config->storage.driver == RS_CONFIG_INMEMORY)
        return rs_storage_memory_new(o->config->storage.inmemory_size, &o->storage, err);
    if (rs_storage_fs_new(o->config->storage.root, &o->storage, err) == RS_OK)
        return RS_OK;
    return user[0] == '\0' ? err->rc : rs_err_wrap(err, "as roadstead.user \"%s\"", user);
}

static rs_rc open_state(struct rs_opened *o, const char *configured, struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf fallback;

    bool on_disk = o->config->storage.driver == RS_CONFIG_FILESYSTEM;
    rs_buf_init(&fallback, 4096);
    rs_buf_printf(&fallback, "%s/roadstead/state", o->config->storage.root);
    const char *below = on_disk && !fallback.overflow ? rs_buf_z(&fallback) : NULL;
    RS_TRY(rs_state_open(configured, below, &o->state, err));
    if (o->state.is_temporary && on_disk)
        rs_log(RS_LOG_WARN, "nothing can be kept below the storage's directory: %s is used until the end instead",
               o->state.path);
    return RS_OK;
}

/* validation: switched off, what an index names need not be there either, as with registry:3. */
static struct rs_manifest_rules manifest_rules(const struct rs_config_validation *v, struct rs_platform *platforms)
{
    static const enum rs_index_rule rules[] = {
        [RS_CONFIG_PLATFORMS_ALL] = RS_INDEX_ALL,
        [RS_CONFIG_PLATFORMS_NONE] = RS_INDEX_NONE,
        [RS_CONFIG_PLATFORMS_LIST] = RS_INDEX_LIST,
    };

    if (!v->active)
        return (struct rs_manifest_rules){.index = RS_INDEX_NONE};
    for (size_t i = 0; i < v->list_count; i++)
        platforms[i] = (struct rs_platform){v->list[i].os, v->list[i].architecture};
    return (struct rs_manifest_rules){
        .url_allow = v->allow.items,
        .url_allow_count = v->allow.count,
        .url_deny = v->deny.items,
        .url_deny_count = v->deny.count,
        .index = rules[v->platforms],
        .platforms = platforms,
        .platform_count = v->list_count,
    };
}

static struct rs_immutable_rule *immutable_rules(const struct rs_config *config)
{
    struct rs_immutable_rule *rules = rs_calloc(config->immutable_count + 1, sizeof *rules);

    for (size_t i = 0; i < config->immutable_count; i++) {
        const struct rs_config_immutable *from = &config->immutable[i];
        rules[i] = (struct rs_immutable_rule){from->repositories.items, from->repositories.count, from->tags.items,
                                              from->tags.count};
    }
    return rules;
}

static struct rs_quota_rule *quota_rules(const struct rs_config *config)
{
    struct rs_quota_rule *rules = rs_calloc(config->quota_count + 1, sizeof *rules);

    for (size_t i = 0; i < config->quota_count; i++) {
        const struct rs_config_quota *from = &config->quotas[i];
        rules[i] = (struct rs_quota_rule){from->repositories.items, from->repositories.count, from->size};
    }
    return rules;
}

/* grace_s: a server's, to whose answers clients hold; a command promises nothing. */
static rs_rc attach(struct rs_opened *o, const char *state_dir, int64_t grace_s, struct rs_err *err)
{
    RS_AUTO(rs_free_ptr)
    struct rs_platform *platforms = rs_calloc(o->config->validation.list_count + 1, sizeof *platforms);
    RS_AUTO(rs_free_ptr) struct rs_immutable_rule *immutable = immutable_rules(o->config);
    RS_AUTO(rs_free_ptr) struct rs_quota_rule *quotas = quota_rules(o->config);

    RS_TRY(open_storage(o, err));
    RS_TRY(add_faults(o, err));
    RS_TRY(open_state(o, state_dir, err));
    const struct rs_config_retention *retention = &o->config->retention;
    const struct rs_registry_config config = {
        .manifest_cache_bytes = (size_t)o->config->manifest_cache,
        .state_dir = o->state.path,
        .grace_s = grace_s,
        .rules = manifest_rules(&o->config->validation, platforms),
        .immutable = immutable,
        .immutable_count = o->config->immutable_count,
        .quotas = quotas,
        .quota_count = o->config->quota_count,
        .tracks_pulls = rs_retention_wants_pulls(retention) ? rs_retention_tracks_pulls : NULL,
        .tracks_pulls_ctx = retention,
    };
    return rs_registry_new(&config, o->storage, &o->registry, err);
}

rs_rc rs_opened_attach(struct rs_opened *opened, struct rs_err *err)
{
    return attach(opened, opened->config->state_dir, opened->config->collection.grace_ms / 1000, err);
}

void rs_opened_close(struct rs_opened *opened)
{
    rs_registry_free(&opened->registry);
    rs_storage_free(&opened->storage);
    rs_state_close(&opened->state);
    rs_config_free(&opened->config);
}

/* --- for commands --- */

struct report {
    bool failed;
};

static void report(void *ctx, bool is_error, const char *place, const char *key, const char *text)
{
    struct report *r = ctx;

    r->failed |= is_error;
    fprintf(stderr, "%s: %s: %s%s%s\n", place, is_error ? "error" : "warning", key, key[0] != '\0' ? ": " : "", text);
}

/* A command that makes the directory has been given the wrong one. */
static rs_rc check_root(const struct rs_config *config, struct rs_err *err)
{
    if (config->storage.driver != RS_CONFIG_FILESYSTEM || access(config->storage.root, F_OK) == 0)
        return RS_OK;
    return rs_err_set(err, RS_E_CONFIG, "storage.filesystem.rootdirectory: %s: %m", config->storage.root);
}

static rs_rc load(const char *path, struct rs_opened *o, struct report *told, struct rs_err *err)
{
    if (path == NULL)
        path = getenv("REGISTRY_CONFIGURATION_PATH");
    RS_TRY(rs_config_load(path, environ, report, told, &o->config, err));
    const struct rs_config_log *log = &o->config->log;
    rs_log_configure(log->format, log->level, log->fields, log->field_count);
    RS_TRY(rs_process_become(o->config->user, err));
    RS_TRY(check_root(o->config, err));
    return attach(o, "", 0, err);
}

int rs_opened_open(const char *path, struct rs_opened *out)
{
    struct report told = {0};
    struct rs_err err = {0};

    *out = (struct rs_opened){0};
    rs_rc rc = load(path, out, &told, &err);
    if (rc == RS_OK)
        return RS_EXIT_OK;
    if (!told.failed)
        fprintf(stderr, "roadstead: %s\n", err.text);
    rs_opened_close(out);
    return rc == RS_E_CONFIG ? RS_EXIT_USAGE : RS_EXIT_FAILED;
}
