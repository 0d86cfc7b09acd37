/* SPDX-License-Identifier: Apache-2.0 */
/* The check as a task of the server: its findings in the log, its figures as metrics, its report as a file. */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "metrics/metrics.h"
#include "upkeep/check.h"
#include "upkeep/upkeep_priv.h"

#define LOGGED_MAX 1000 /* the report has them all */

struct task {
    const struct rs_upkeep_run *run;
    struct rs_check_report report; /* without a stream: it could not be made */
    uint64_t read_bytes;           /* that were counted */
    uint64_t logged;
};

static void log_finding(struct task *t, const struct rs_finding *f)
{
    const struct rs_log_field fields[] = {
        RS_LOG_STR("kind", rs_str_c(rs_finding_word(f->kind))),
        RS_LOG_STR("outcome", rs_str_c(rs_finding_outcome_word(f->outcome))),
        RS_LOG_STR("vars.name", f->repository),
        RS_LOG_STR("subject", f->subject),
        RS_LOG_STR("path", f->path),
        RS_LOG_STR("what", f->what),
        RS_LOG_STR("action", f->action),
    };
    if (t->logged++ < LOGGED_MAX)
        rs_log_event(RS_LOG_WARN, "a check of the storage has found something", fields, RS_COUNT(fields));
}

static void found(void *ctx, const struct rs_finding *finding)
{
    struct task *t = ctx;
    log_finding(t, finding);
    if (t->report.out != NULL)
        rs_check_report_finding(&t->report, finding);
}

static void progress(void *ctx, const struct rs_check_counts *counts)
{
    struct task *t = ctx;
    rs_metrics_add(RS_METRIC_CHECK_READ, RS_NO_LABELS, counts->hashed_bytes - t->read_bytes);
    t->read_bytes = counts->hashed_bytes;
}

static bool goes_on(void *ctx)
{
    const struct task *t = ctx;
    return t->run->goes_on(t->run->ctx);
}

/* --- the report --- */

static bool report_path(const struct rs_upkeep_run *run, const char *suffix, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/" RS_CHECK_REPORT "%s", run->state_dir, suffix);
    return n > 0 && n < PATH_MAX;
}

static FILE *open_report(const struct rs_upkeep_run *run)
{
    char path[PATH_MAX];
    return report_path(run, ".new", path) ? fopen(path, "we") : NULL;
}

/* It takes the place of the last one when it is whole. */
static void close_report(const struct rs_upkeep_run *run, FILE *out)
{
    char path[PATH_MAX], new_path[PATH_MAX];
    struct rs_err err;
    if (out == NULL || !report_path(run, "", path) || !report_path(run, ".new", new_path))
        return;
    bool written = ferror(out) == 0;
    if (fclose(out) == 0 && written && rename(new_path, path) == 0)
        return;
    rs_err_sys(&err, errno, "the report of the check cannot be written to %s", path);
    rs_log(RS_LOG_WARN, "%s", err.text);
    unlink(new_path);
}

/* --- the run --- */

static void measure(const struct rs_check_counts *n, int64_t us)
{
    for (int kind = 0; kind < RS_FINDINGS; kind++) {
        enum rs_value value = rs_metrics_value(RS_LABEL_FINDING, rs_str_c(rs_finding_word((enum rs_finding_kind)kind)));
        rs_metrics_set(RS_METRIC_CHECK_FINDINGS, RS_LABELS(value), n->findings[kind]);
    }
    rs_metrics_set(RS_METRIC_CHECK_ERRORS, RS_NO_LABELS, n->errors);
    rs_metrics_set(RS_METRIC_CHECK_LAST, RS_NO_LABELS, (uint64_t)rs_wall_s());
    rs_metrics_set(RS_METRIC_CHECK_SECONDS, RS_NO_LABELS, (uint64_t)us);
}

static void log_run(const struct rs_check_counts *n, rs_rc rc, const struct rs_err *err, int64_t ms)
{
    const struct rs_log_field fields[] = {
        RS_LOG_NUM("blobs", n->blobs),
        RS_LOG_NUM("bytesread", n->hashed_bytes),
        RS_LOG_NUM("repositories", n->repositories),
        RS_LOG_NUM("manifests", n->manifests),
        RS_LOG_NUM("tags", n->tags),
        RS_LOG_NUM("errors", n->errors),
        RS_LOG_NUM("warnings", n->warnings),
        RS_LOG_NUM("mended", n->mended),
        RS_LOG_NUM("milliseconds", ms),
        RS_LOG_STR("err.detail", rs_str_c(rc != RS_OK ? err->text : NULL)),
    };
    const char *text = rc != RS_OK    ? "the check of the storage broke off"
                       : !n->complete ? "the check of the storage was ended early"
                                      : "the storage was checked";
    enum rs_log_level level = rc != RS_OK ? RS_LOG_ERROR : n->errors > 0 ? RS_LOG_WARN : RS_LOG_INFO;
    rs_log_event(level, text, fields, RS_COUNT(fields));
}

void rs_upkeep_check(const struct rs_upkeep_run *run)
{
    struct task t = {.run = run, .report = {.json = true}};
    const struct rs_config_checking *settings = &run->config->check;
    const struct rs_check_config config = {
        .storage = run->storage,
        .registry = run->registry,
        .state_dir = run->state_dir,
        .repair = settings->repair,
        .hash = settings->hash,
        .rate = settings->rate,
        .grace_s = run->config->collection.grace_ms / 1000,
        .upload_age_s = run->config->storage.purge.age_ms / 1000,
        .goes_on = goes_on,
        .found = found,
        .progress = progress,
        .ctx = &t,
    };
    struct rs_check_counts counts;
    struct rs_err err = {0};
    int64_t began_us = rs_mono_us();
    t.report.out = open_report(run);
    if (t.report.out != NULL)
        rs_check_report_begin(&t.report, &config);
    rs_rc rc = rs_check_run(&config, &counts, &err);
    int64_t us = rs_mono_us() - began_us;
    if (t.report.out != NULL)
        rs_check_report_end(&t.report, &counts, rc == RS_OK ? NULL : &err);
    close_report(run, t.report.out);
    if (rc == RS_OK && counts.complete)
        measure(&counts, us);
    log_run(&counts, rc, &err, us / 1000);
}
