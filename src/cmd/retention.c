/* SPDX-License-Identifier: Apache-2.0 */
/* roadstead retention [-d] [--json] [-q] [CONFIG.yml]: removes tags by the rules now, or lists what it would remove. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/opened.h"
#include "upkeep/retention.h"

#define LINE_MAX_BYTES (16 * 1024)
#define SHORT_DIGEST 19 /* "sha256:" and twelve digits */

struct options {
    bool dry_run;
    bool json;
    bool quiet;
    const char *path;
};

struct output {
    struct options options;
    bool any; /* a tag was printed */
    struct rs_buf line;
};

static const char *const fates[] = {
    [RS_RETENTION_KEPT] = "keep",
    [RS_RETENTION_REMOVED] = "remove",
    [RS_RETENTION_SPARED] = "spare",
    [RS_RETENTION_FAILED] = "fail",
};

/* RFC 3339, or what stands for a time that there is not. */
static const char *time_or(const char *none, int64_t wall_s, char text[RS_RFC3339_SIZE])
{
    if (wall_s == RS_RETENTION_NEVER)
        return none;
    rs_rfc3339(wall_s, text);
    return text;
}

static void add_text(struct output *o, const struct rs_retention_tag *tag)
{
    char pushed[RS_RFC3339_SIZE], pulled[RS_RFC3339_SIZE];
    rs_str digest = rs_str_c(tag->digest != NULL ? tag->digest->text : "-");

    if (!o->any)
        rs_buf_printf(&o->line, "%-7s %-20s  %-20s  %-*s  %s\n", "", "PUSHED", "LAST PULLED", SHORT_DIGEST, "DIGEST",
                      "TAG, REASON");
    rs_buf_printf(&o->line, "%-7s %-20s  %-20s  %-*.*s  " RS_STR_FMT, fates[tag->fate],
                  time_or("-", tag->pushed_s, pushed), time_or("-", tag->pulled_s, pulled), SHORT_DIGEST,
                  RS_MIN((int)digest.len, SHORT_DIGEST), digest.ptr, RS_STR_ARG(tag->repository));
    if (tag->tag.len > 0)
        rs_buf_printf(&o->line, ":" RS_STR_FMT, RS_STR_ARG(tag->tag));
    rs_buf_printf(&o->line, "  " RS_STR_FMT "\n", RS_STR_ARG(tag->reason));
}

static void add_member(struct rs_buf *line, const char *name, rs_str value)
{
    rs_buf_printf(line, ", \"%s\": ", name);
    rs_json_quote(line, value);
}

static void add_json(struct output *o, const struct rs_retention_tag *tag)
{
    char pushed[RS_RFC3339_SIZE], pulled[RS_RFC3339_SIZE];

    rs_buf_printf(&o->line, "%s\n    {\"decision\": \"%s\"", o->any ? "," : "", fates[tag->fate]);
    add_member(&o->line, "repository", tag->repository);
    if (tag->tag.len > 0)
        add_member(&o->line, "tag", tag->tag);
    if (tag->digest != NULL)
        add_member(&o->line, "digest", rs_digest_str(tag->digest));
    if (tag->pushed_s != RS_RETENTION_NEVER)
        add_member(&o->line, "pushed", rs_str_c(time_or("", tag->pushed_s, pushed)));
    if (tag->pulled_s != RS_RETENTION_NEVER)
        add_member(&o->line, "pulled", rs_str_c(time_or("", tag->pulled_s, pulled)));
    add_member(&o->line, "reason", tag->reason);
    rs_buf_add_char(&o->line, '}');
}

static void tell(void *ctx, const struct rs_retention_tag *tag)
{
    struct output *o = ctx;

    if (tag->fate == RS_RETENTION_FAILED)
        fprintf(stderr, "roadstead: " RS_STR_FMT "%s" RS_STR_FMT ": " RS_STR_FMT "\n", RS_STR_ARG(tag->repository),
                tag->tag.len > 0 ? ":" : "", RS_STR_ARG(tag->tag), RS_STR_ARG(tag->reason));
    if (o->options.quiet)
        return;
    rs_buf_clear(&o->line);
    if (o->options.json)
        add_json(o, tag);
    else
        add_text(o, tag);
    fwrite(o->line.ptr, 1, o->line.len, stdout);
    o->any = true;
}

static void print_json_end(const struct output *o, const struct rs_retention_report *r)
{
    printf("%s\"repositories\": %llu, \"without_rule\": %llu, \"seen\": %llu, \"kept\": %llu, \"removed\": %llu, "
           "\"spared\": %llu, \"failed\": %llu}\n",
           o->options.quiet ? ""
           : o->any         ? "\n  ],\n  "
                            : "],\n  ",
           (unsigned long long)r->repositories, (unsigned long long)r->unruled, (unsigned long long)r->tags,
           (unsigned long long)r->kept, (unsigned long long)r->removed, (unsigned long long)r->spared,
           (unsigned long long)r->failed);
}

static void print_text_end(const struct output *o, const struct rs_retention_report *r)
{
    printf("%s%llu tags in %llu repositories: %llu kept, %llu %s, %llu spared, %llu failed; %llu repositories without "
           "a rule\n",
           o->any ? "\n" : "", (unsigned long long)r->tags, (unsigned long long)r->repositories,
           (unsigned long long)r->kept, (unsigned long long)r->removed,
           o->options.dry_run ? "would be removed" : "removed", (unsigned long long)r->spared,
           (unsigned long long)r->failed, (unsigned long long)r->unruled);
    if (r->removed > 0)
        printf("Manifests that lose their last tag stay, with their layers, until \"roadstead garbage-collect -m\" or\n"
               "roadstead.collection with delete_untagged takes them.\n");
}

static int run(struct output *o, const struct rs_opened *opened)
{
    struct rs_retention_report report;
    struct rs_err err = {0};

    o->options.dry_run |= opened->config->retention.dry_run;
    const struct rs_retention retention = {
        .config = &opened->config->retention, .dry_run = o->options.dry_run, .tell = tell, .ctx = o};
    if (retention.config->rule_count == 0)
        fprintf(stderr, "roadstead: there is no rule in roadstead.retention.rules\n");
    if (o->options.json)
        printf("{\"dry_run\": %s, %s", o->options.dry_run ? "true" : "false", o->options.quiet ? "" : "\"tags\": [");
    rs_rc rc = rs_retention_run(opened->registry, opened->storage, &retention, &report, &err);
    if (o->options.json)
        print_json_end(o, &report);
    else if (!o->options.quiet)
        print_text_end(o, &report);
    if (rc != RS_OK)
        fprintf(stderr, "roadstead: retention broke off: %s\n", err.text);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "roadstead: the list could not be printed\n");
        return RS_EXIT_FAILED;
    }
    return rc == RS_OK && report.failed == 0 ? RS_EXIT_OK : RS_EXIT_FAILED;
}

static const char usage[] =
    "Usage: roadstead retention [-d|--dry-run] [--json] [-q|--quiet] [CONFIG.yml]\n"
    "Removes tags by roadstead.retention.rules and lists each tag with the reason; a server may run meanwhile.\n"
    "-d removes nothing, -q lists nothing. Without a file, REGISTRY_CONFIGURATION_PATH names it.\n"
    "Exit status: 0 done, 1 something failed, 2 wrong usage or configuration.\n";

/* False: it cannot be understood. */
static bool read_options(int argc, char **argv, struct options *out)
{
    for (int i = 1; i < argc; i++) {
        rs_str arg = rs_str_c(argv[i]);
        if (rs_str_eq_c(arg, "-d") || rs_str_eq_c(arg, "--dry-run"))
            out->dry_run = true;
        else if (rs_str_eq_c(arg, "--json"))
            out->json = true;
        else if (rs_str_eq_c(arg, "-q") || rs_str_eq_c(arg, "--quiet"))
            out->quiet = true;
        else if (rs_str_starts(arg, RS_STR("-")) || out->path != NULL)
            return false;
        else
            out->path = argv[i];
    }
    return true;
}

int rs_cmd_retention(int argc, char **argv)
{
    struct output o = {0};
    struct rs_opened opened;
    rs_str first = rs_str_c(argc > 1 ? argv[1] : NULL);

    if (rs_str_eq_c(first, "-h") || rs_str_eq_c(first, "--help")) {
        fputs(usage, stdout);
        return RS_EXIT_OK;
    }
    if (!read_options(argc, argv, &o.options)) {
        fputs(usage, stderr);
        return RS_EXIT_USAGE;
    }
    int status = rs_opened_open(o.options.path, &opened);
    if (status != RS_EXIT_OK)
        return status;
    rs_buf_init(&o.line, LINE_MAX_BYTES);
    status = run(&o, &opened);
    rs_buf_release(&o.line);
    rs_opened_close(&opened);
    return status;
}
