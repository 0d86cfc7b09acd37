/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of a check, as text and as JSON. */
#include "base/clock.h"
#include "base/log.h"
#include "upkeep/check.h"

#define FINDING_MAX (64 * 1024)

/* --- JSON --- */

static void print_json(const struct rs_check_report *r, struct rs_buf *b)
{
    fwrite(b->ptr, 1, b->len, r->out);
    rs_buf_release(b);
}

static void add_member(struct rs_buf *b, const char *key, rs_str value)
{
    if (value.len == 0)
        return;
    rs_buf_printf(b, ",\"%s\":", key);
    rs_json_quote(b, value);
}

static void finding_json(const struct rs_check_report *r, const struct rs_finding *f)
{
    struct rs_buf b;
    rs_buf_init(&b, FINDING_MAX);
    rs_buf_printf(&b, "%s\n{\"kind\":\"%s\",\"severity\":\"%s\",\"outcome\":\"%s\"", r->told > 0 ? "," : "",
                  rs_finding_word(f->kind), rs_finding_is_error(f->kind) ? "error" : "warning",
                  rs_finding_outcome_word(f->outcome));
    add_member(&b, "repository", f->repository);
    add_member(&b, "subject", f->subject);
    add_member(&b, "path", f->path);
    add_member(&b, "what", f->what);
    add_member(&b, "action", f->action);
    rs_buf_add_char(&b, '}');
    print_json(r, &b);
}

static void add_count(struct rs_buf *b, const char *key, uint64_t n)
{
    rs_buf_printf(b, "\"%s\":%llu,", key, (unsigned long long)n);
}

static void add_counts(struct rs_buf *b, const struct rs_check_counts *n)
{
    add_count(b, "blobs", n->blobs);
    add_count(b, "blobBytes", n->blob_bytes);
    add_count(b, "hashedBlobs", n->hashed_blobs);
    add_count(b, "hashedBytes", n->hashed_bytes);
    add_count(b, "repositories", n->repositories);
    add_count(b, "manifests", n->manifests);
    add_count(b, "layerLinks", n->layer_links);
    add_count(b, "tags", n->tags);
    add_count(b, "uploads", n->uploads);
    if (n->unlinked_known) {
        add_count(b, "unlinkedBlobs", n->unlinked_blobs);
        add_count(b, "unlinkedBytes", n->unlinked_bytes);
    }
    add_count(b, "errors", n->errors);
    add_count(b, "warnings", n->warnings);
    add_count(b, "mended", n->mended);
    rs_buf_add_c(b, "\"findings\":{");
    const char *comma = "";
    for (int kind = 0; kind < RS_FINDINGS; kind++) {
        if (n->findings[kind] == 0)
            continue;
        rs_buf_printf(b, "%s\"%s\":%llu", comma, rs_finding_word((enum rs_finding_kind)kind),
                      (unsigned long long)n->findings[kind]);
        comma = ",";
    }
    rs_buf_add_char(b, '}');
}

static void end_json(const struct rs_check_report *r, const struct rs_check_counts *n, const struct rs_err *err)
{
    struct rs_buf b;
    char now[RS_RFC3339_SIZE];
    rs_buf_init(&b, FINDING_MAX);
    rs_rfc3339(rs_wall_s(), now);
    rs_buf_add_c(&b, "],\n\"counts\":{");
    add_counts(&b, n);
    rs_buf_printf(&b, "},\n\"complete\":%s", n->complete ? "true" : "false");
    if (err != NULL)
        add_member(&b, "error", rs_str_c(err->text));
    rs_buf_printf(&b, ",\"finished\":\"%s\"}\n", now);
    print_json(r, &b);
}

/* --- text --- */

static void print_part(FILE *out, const char *before, rs_str part, const char *after)
{
    if (part.len > 0)
        fprintf(out, "%s" RS_STR_FMT "%s", before, RS_STR_ARG(part), after);
}

/* Names on the disk may hold anything: a terminal is not to see it. */
static void print_path(FILE *out, rs_str path)
{
    for (size_t i = 0; i < path.len; i++)
        fputc((unsigned char)path.ptr[i] < 0x20 || path.ptr[i] == 0x7f ? '?' : path.ptr[i], out);
    if (path.len > 0)
        fputs(": ", out);
}

static void finding_text(const struct rs_check_report *r, const struct rs_finding *f)
{
    const char *severity = f->outcome == RS_FINDING_MENDED ? "mended"
                           : rs_finding_is_error(f->kind)  ? "ERROR"
                                                           : "warning";
    if (r->quiet && (f->outcome == RS_FINDING_MENDED || !rs_finding_is_error(f->kind)))
        return;
    fprintf(r->out, "%s %s ", severity, rs_finding_word(f->kind));
    print_part(r->out, "", f->repository, " ");
    print_part(r->out, "", f->subject, " ");
    print_path(r->out, f->path);
    print_part(r->out, "", f->what, "");
    print_part(r->out, f->outcome == RS_FINDING_FAILED ? "; could not be repaired: " : "; ", f->action, "");
    fputc('\n', r->out);
}

static void end_text(const struct rs_check_report *r, const struct rs_check_counts *n, const struct rs_err *err)
{
    if (err != NULL)
        fprintf(r->out, "the check broke off: %s\n", err->text);
    else if (!n->complete)
        fprintf(r->out, "the check was ended before everything was looked at\n");
    if (r->quiet)
        return;
    fprintf(r->out,
            "%llu blobs of %llu bytes (%llu read), %llu repositories with %llu manifests, %llu tags and %llu links\n",
            (unsigned long long)n->blobs, (unsigned long long)n->blob_bytes, (unsigned long long)n->hashed_blobs,
            (unsigned long long)n->repositories, (unsigned long long)n->manifests, (unsigned long long)n->tags,
            (unsigned long long)n->layer_links);
    if (n->unlinked_known && n->unlinked_blobs > 0)
        fprintf(r->out, "a collection would free at least %llu blobs of %llu bytes, which no repository links\n",
                (unsigned long long)n->unlinked_blobs, (unsigned long long)n->unlinked_bytes);
    fprintf(r->out, "%llu errors, %llu warnings, %llu mended\n", (unsigned long long)n->errors,
            (unsigned long long)n->warnings, (unsigned long long)n->mended);
}

/* --- both --- */

void rs_check_report_begin(struct rs_check_report *report, const struct rs_check_config *config)
{
    char now[RS_RFC3339_SIZE];
    if (!report->json)
        return;
    rs_rfc3339(rs_wall_s(), now);
    fprintf(report->out, "{\"started\":\"%s\",\"repair\":%s,\"hash\":%s,\n\"findings\":[", now,
            config->repair ? "true" : "false", config->hash ? "true" : "false");
}

void rs_check_report_finding(struct rs_check_report *report, const struct rs_finding *finding)
{
    if (report->json)
        finding_json(report, finding);
    else
        finding_text(report, finding);
    report->told++;
}

void rs_check_report_end(struct rs_check_report *report, const struct rs_check_counts *counts, const struct rs_err *err)
{
    if (report->json)
        end_json(report, counts, err);
    else
        end_text(report, counts, err);
    fflush(report->out);
}
