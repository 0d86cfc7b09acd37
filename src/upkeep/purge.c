/* SPDX-License-Identifier: Apache-2.0 */
/* The task that purges abandoned uploads (registry/upload.h). */
#include "base/clock.h"
#include "base/log.h"
#include "registry/upload.h"
#include "upkeep/upkeep_priv.h"

static void tell(void *ctx, rs_str repository, rs_str uuid, int64_t began_s)
{
    const struct rs_upkeep_run *run = ctx;
    bool dry_run = run->config->storage.purge.dry_run;
    char began[RS_RFC3339_SIZE];
    rs_rfc3339(began_s, began);
    const struct rs_log_field fields[] = {
        RS_LOG_STR("vars.name", repository),
        RS_LOG_STR("vars.uuid", uuid),
        RS_LOG_STR("startedat", rs_str_c(began)),
    };
    rs_log_event(dry_run ? RS_LOG_INFO : RS_LOG_DEBUG,
                 dry_run ? "an abandoned upload would be removed" : "removed an abandoned upload", fields,
                 RS_COUNT(fields));
}

static void log_run(const struct rs_upkeep_run *run, const struct rs_upload_purged *found, rs_rc rc,
                    const struct rs_err *err, int64_t ms)
{
    bool bad = rc != RS_OK || found->failed > 0;
    const struct rs_log_field fields[] = {
        RS_LOG_NUM("repositories", found->repositories),
        RS_LOG_NUM("uploads", found->uploads),
        RS_LOG_NUM("removed", found->removed),
        RS_LOG_NUM("failed", found->failed),
        RS_LOG_STR("dryrun", run->config->storage.purge.dry_run ? RS_STR("true") : RS_STR("false")),
        RS_LOG_NUM("milliseconds", ms),
        RS_LOG_STR("err.detail", rs_str_c(bad ? err->text : NULL)),
    };
    const char *text = rc != RS_OK               ? "the purge of uploads broke off"
                       : !run->goes_on(run->ctx) ? "the purge of uploads was ended early"
                                                 : "uploads were purged";
    rs_log_event(bad ? RS_LOG_ERROR : RS_LOG_INFO, text, fields, RS_COUNT(fields));
}

static bool goes_on(void *ctx)
{
    const struct rs_upkeep_run *run = ctx;
    return run->goes_on(run->ctx);
}

void rs_upkeep_purge(const struct rs_upkeep_run *run)
{
    struct rs_err err = {0};
    struct rs_upload_purged found;
    const struct rs_config_purge *config = &run->config->storage.purge;
    const struct rs_upload_purge purge = {.age_s = config->age_ms / 1000,
                                          .dry_run = config->dry_run,
                                          .goes_on = goes_on,
                                          .tell = tell,
                                          .ctx = (void *)(uintptr_t)run};
    int64_t began_ms = rs_mono_ms();
    rs_rc rc = rs_upload_purge(run->registry, &purge, &found, &err);
    log_run(run, &found, rc, &err, rs_mono_ms() - began_ms);
}
