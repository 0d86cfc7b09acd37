/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "layout/paths.h"
#include "metrics/metrics.h"
#include "registry/presence.h"
#include "registry/registry_priv.h"
#include "registry/tombstone.h"

/* A collector of metrics. */
static void measure(void *ctx)
{
    struct rs_registry *registry = ctx;
    rs_manifest_cache_measure(registry->manifests);
    rs_quota_measure(registry->quotas);
    rs_metrics_set(RS_METRIC_STORAGE_FLUSHES, RS_NO_LABELS, rs_storage_flushes(registry->storage));
    if (registry->pulls != NULL)
        rs_metrics_set(RS_METRIC_PULLS_DROPPED, RS_NO_LABELS, rs_pulls_dropped(registry->pulls));
}

rs_rc rs_registry_new(const struct rs_registry_config *config, struct rs_storage *storage, struct rs_registry **out,
                      struct rs_err *err)
{
    struct rs_rules *rules;
    RS_TRY(rs_rules_new(&config->rules, &rules, err));
    struct rs_registry *registry = rs_calloc(1, sizeof *registry);
    registry->storage = storage;
    registry->rules = rules;
    registry->policy = rs_policy_new(config);
    registry->quotas = rs_quotas_new(config, storage);
    registry->presence = rs_presence_new(storage, config->grace_s);
    registry->tombstones = rs_tombstones_new(storage);
    struct rs_path path;
    rs_storage_near(storage, rs_path_repository(&path, (rs_str){NULL, 0}));
    registry->manifests = rs_manifest_cache_new(config->manifest_cache_bytes);
    registry->tags = rs_tag_cache_new();
    registry->children = rs_children_cache_new(config->state_dir);
    rs_metrics_collect(measure, registry);
    registry->pushed = rs_note_table_new();
    registry->referrers = rs_referrers_cache_new();
    if (config->tracks_pulls != NULL)
        registry->pulls = rs_pulls_new(config->tracks_pulls, config->tracks_pulls_ctx);
    *out = registry;
    return RS_OK;
}

rs_rc rs_registry_announce(struct rs_registry *registry, struct rs_err *err)
{
    return rs_presence_ensure(registry->presence, err);
}

void rs_registry_free(struct rs_registry **registry)
{
    if (*registry == NULL)
        return;
    rs_metrics_forget(*registry);
    rs_manifest_cache_free(&(*registry)->manifests);
    rs_tag_cache_free(&(*registry)->tags);
    rs_children_cache_free(&(*registry)->children);
    rs_note_table_free(&(*registry)->pushed);
    rs_referrers_cache_free(&(*registry)->referrers);
    rs_rules_free(&(*registry)->rules);
    rs_policy_free(&(*registry)->policy);
    rs_quotas_free(&(*registry)->quotas);
    rs_tombstones_free(&(*registry)->tombstones);
    rs_presence_free(&(*registry)->presence);
    rs_pulls_free(&(*registry)->pulls);
    free(*registry);
    *registry = NULL;
}
