/* SPDX-License-Identifier: Apache-2.0 */
/* The tasks of the server that belong to retention: the runs, and what they know of pulls. */
#include "base/clock.h"
#include "base/log.h"
#include "metrics/metrics.h"
#include "registry/manifest.h"
#include "upkeep/retention.h"
#include "upkeep/upkeep_priv.h"

static rs_str time_text(int64_t wall_s, char text[RS_RFC3339_SIZE])
{
    if (wall_s == RS_RETENTION_NEVER)
        return (rs_str){NULL, 0};
    rs_rfc3339(wall_s, text);
    return rs_str_c(text);
}

static void log_tag(const struct rs_retention_tag *tag, enum rs_log_level level, const char *text)
{
    char pushed[RS_RFC3339_SIZE], pulled[RS_RFC3339_SIZE];
    const struct rs_log_field fields[] = {
        RS_LOG_STR("vars.name", tag->repository),
        RS_LOG_STR("vars.reference", tag->tag),
        RS_LOG_STR("vars.digest", rs_str_c(tag->digest != NULL ? tag->digest->text : NULL)),
        RS_LOG_STR("pushed", time_text(tag->pushed_s, pushed)),
        RS_LOG_STR("pulled", time_text(tag->pulled_s, pulled)),
        RS_LOG_STR("reason", tag->reason),
    };
    rs_log_event(level, text, fields, RS_COUNT(fields));
}

static void tell(void *ctx, const struct rs_retention_tag *tag)
{
    const struct rs_upkeep_run *run = ctx;
    bool dry_run = run->config->retention.dry_run;
    switch (tag->fate) {
    case RS_RETENTION_KEPT:
        log_tag(tag, RS_LOG_DEBUG, "retention keeps a tag");
        break;
    case RS_RETENTION_REMOVED:
        log_tag(tag, RS_LOG_INFO, dry_run ? "retention would remove a tag" : "retention removed a tag");
        if (dry_run)
            break;
        rs_metrics_add(RS_METRIC_RETENTION_REMOVED, RS_NO_LABELS, 1);
        if (run->on_tag_removed != NULL)
            run->on_tag_removed(run->server, tag->repository, tag->tag);
        break;
    case RS_RETENTION_SPARED:
        log_tag(tag, RS_LOG_INFO, "retention spared a tag");
        break;
    case RS_RETENTION_FAILED:
        log_tag(tag, RS_LOG_ERROR, "retention failed");
        rs_metrics_add(RS_METRIC_RETENTION_FAILED, RS_NO_LABELS, 1);
        break;
    }
}

static void log_run(const struct rs_upkeep_run *run, const struct rs_retention_report *found, rs_rc rc,
                    const struct rs_err *err, int64_t ms)
{
    bool bad = rc != RS_OK || found->failed > 0;
    const struct rs_log_field fields[] = {
        RS_LOG_NUM("repositories", found->repositories),
        RS_LOG_NUM("withoutrule", found->unruled),
        RS_LOG_NUM("tags", found->tags),
        RS_LOG_NUM("removed", found->removed),
        RS_LOG_NUM("spared", found->spared),
        RS_LOG_NUM("failed", found->failed),
        RS_LOG_STR("dryrun", run->config->retention.dry_run ? RS_STR("true") : RS_STR("false")),
        RS_LOG_NUM("milliseconds", ms),
        RS_LOG_STR("err.detail", rs_str_c(bad ? err->text : NULL)),
    };
    const char *text = rc != RS_OK               ? "retention broke off"
                       : !run->goes_on(run->ctx) ? "retention was ended early"
                                                 : "retention has run";
    rs_log_event(bad ? RS_LOG_ERROR : RS_LOG_INFO, text, fields, RS_COUNT(fields));
}

static bool goes_on(void *ctx)
{
    const struct rs_upkeep_run *run = ctx;
    return run->goes_on(run->ctx);
}

void rs_upkeep_retention(const struct rs_upkeep_run *run)
{
    struct rs_err err = {0};
    struct rs_retention_report found;
    const struct rs_retention retention = {.config = &run->config->retention,
                                           .dry_run = run->config->retention.dry_run,
                                           .tracks = true,
                                           .goes_on = goes_on,
                                           .tell = tell,
                                           .ctx = (void *)(uintptr_t)run};
    int64_t began_ms = rs_mono_ms();
    rs_rc rc = rs_retention_run(run->registry, run->storage, &retention, &found, &err);
    log_run(run, &found, rc, &err, rs_mono_ms() - began_ms);
}

void rs_upkeep_pulls(const struct rs_upkeep_run *run)
{
    struct rs_err err = {0};
    uint64_t failed;
    if (rs_pulls_write(run->registry, &failed, &err) != RS_OK)
        rs_log(RS_LOG_WARN, "%llu pulls could not be recorded, and come again with the next pull: %s",
               (unsigned long long)failed, err.text);
}
