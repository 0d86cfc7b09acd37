/* SPDX-License-Identifier: Apache-2.0 */
/* The server's scheduled collection: what it logs, and its metrics. */
#include "base/clock.h"
#include "base/log.h"
#include "metrics/metrics.h"
#include "upkeep/collect.h"
#include "upkeep/upkeep_priv.h"

static bool goes_on(void *ctx)
{
    const struct rs_upkeep_run *run = ctx;
    return run->goes_on(run->ctx);
}

/* Of a dry run. */
static void tell(void *ctx, const struct rs_collect_told *told)
{
    static const char *const texts[] = {
        [RS_REMOVE_MANIFEST] = "a manifest would be removed",
        [RS_REMOVE_LINK] = "a link to a blob would be removed",
        [RS_REMOVE_BLOB] = "a blob would be removed",
    };
    (void)ctx;
    if (told->event != RS_COLLECT_ELIGIBLE)
        return;
    const struct rs_log_field fields[] = {
        RS_LOG_STR("vars.name", told->repository),
        RS_LOG_STR("vars.digest", rs_digest_str(told->digest)),
        RS_LOG_NUM("bytes", told->size),
    };
    rs_log_event(RS_LOG_INFO, texts[told->kind], fields, RS_COUNT(fields));
}

static void log_run(const struct rs_collect_report *r, bool dry_run, rs_rc rc, const struct rs_err *err)
{
    const struct rs_log_field fields[] = {
        RS_LOG_NUM("repositories", r->repositories),
        RS_LOG_NUM("manifests", r->manifests),
        RS_LOG_NUM("marked", r->marked),
        RS_LOG_NUM("eligible", r->eligible[RS_REMOVE_BLOB]),
        RS_LOG_NUM("removed.manifests", r->removed[RS_REMOVE_MANIFEST]),
        RS_LOG_NUM("removed.links", r->removed[RS_REMOVE_LINK]),
        RS_LOG_NUM("removed.blobs", r->removed[RS_REMOVE_BLOB]),
        RS_LOG_NUM("spared", r->spared[RS_REMOVE_MANIFEST] + r->spared[RS_REMOVE_LINK] + r->spared[RS_REMOVE_BLOB]),
        RS_LOG_NUM("freed", r->freed),
        RS_LOG_STR("dryrun", dry_run ? RS_STR("true") : RS_STR("false")),
        RS_LOG_STR("resumed", r->resumed ? RS_STR("true") : RS_STR("false")),
        RS_LOG_NUM("milliseconds.mark", r->mark_ms),
        RS_LOG_NUM("milliseconds.sweep", r->sweep_ms),
        RS_LOG_STR("err.detail", rs_str_c(rc != RS_OK ? err->text : NULL)),
    };
    const char *text = rc != RS_OK    ? "the collection broke off"
                       : !r->complete ? "the collection was ended early and will go on"
                                      : "what nothing needed was collected";
    rs_log_event(rc != RS_OK ? RS_LOG_ERROR : RS_LOG_INFO, text, fields, RS_COUNT(fields));
}

static void count_run(const struct rs_collect_report *r, rs_rc rc, int64_t ms)
{
    rs_metrics_add(RS_METRIC_COLLECTION_RUNS, RS_NO_LABELS, 1);
    rs_metrics_add(RS_METRIC_COLLECTION_FAILURES, RS_NO_LABELS, rc != RS_OK);
    rs_metrics_add(RS_METRIC_COLLECTION_FREED, RS_NO_LABELS, r->freed);
    rs_metrics_add(RS_METRIC_COLLECTION_REMOVED, RS_LABELS(RS_VALUE_REMOVAL_MANIFEST), r->removed[RS_REMOVE_MANIFEST]);
    rs_metrics_add(RS_METRIC_COLLECTION_REMOVED, RS_LABELS(RS_VALUE_REMOVAL_LINK), r->removed[RS_REMOVE_LINK]);
    rs_metrics_add(RS_METRIC_COLLECTION_REMOVED, RS_LABELS(RS_VALUE_REMOVAL_BLOB), r->removed[RS_REMOVE_BLOB]);
    if (!r->complete)
        return;
    rs_metrics_set(RS_METRIC_COLLECTION_LAST, RS_NO_LABELS, (uint64_t)rs_wall_s());
    rs_metrics_set(RS_METRIC_COLLECTION_SECONDS, RS_NO_LABELS, (uint64_t)ms * 1000);
}

void rs_upkeep_collect(const struct rs_upkeep_run *run)
{
    const struct rs_config_collection *config = &run->config->collection;
    struct rs_err err = {0};
    struct rs_collect_report report;
    const struct rs_collect_options options = {
        .dry_run = config->dry_run,
        .delete_untagged = config->delete_untagged,
        .list = config->dry_run,
        .grace_s = config->grace_ms / 1000,
        .goes_on = goes_on,
        .tell = config->dry_run ? tell : NULL,
        .ctx = (void *)(uintptr_t)run,
    };
    int64_t began_ms = rs_mono_ms();
    rs_rc rc = rs_collect(run->storage, run->registry, run->state_dir, &options, &report, &err);
    log_run(&report, config->dry_run, rc, &err);
    count_run(&report, rc, rs_mono_ms() - began_ms);
}
