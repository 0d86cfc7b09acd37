/* SPDX-License-Identifier: Apache-2.0 */
/* roadstead garbage-collect [FLAGS] CONFIG: removes what nothing needs, with registry:2's flags and in its words. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/opened.h"
#include "cmd/process.h"
#include "upkeep/collect.h"

#define GRACE_MIN_MS 1000
#define GRACE_MAX_MS (INT64_C(8760) * 3600 * 1000)
#define ASK_MS 10

static const char usage[] =
    "Usage: roadstead garbage-collect [FLAGS] [CONFIG.yml]\n"
    "\n"
    "Removes blobs, and links to them, that no manifest needs, also while servers use the storage.\n"
    "Without a file, REGISTRY_CONFIGURATION_PATH names it.\n"
    "\n"
    "  -d, --dry-run          say what would go, and remove nothing\n"
    "  -m, --delete-untagged  also remove manifests that no tag leads to, nor an index or a subject that stays\n"
    "  -q, --quiet            print nothing but errors\n"
    "      --json             print lines of JSON; the last one is the summary\n"
    "      --grace DURATION   what was used so short a time ago stays (24h, 30m). Without this flag: nothing if no\n"
    "                         server runs, else roadstead.collection.grace, or the longest of all servers\n";

struct options {
    bool dry_run;
    bool delete_untagged;
    bool quiet;
    bool json;
    bool help;
    int64_t grace_ms; /* 0: not given */
    const char *path;
};

/* --- the command line, as registry:2's library reads it --- */

struct flag {
    char letter; /* 0: none */
    const char *name;
    size_t offset; /* of the bool */
};

static const struct flag flags[] = {
    {'d', "dry-run", offsetof(struct options, dry_run)},
    {'m', "delete-untagged", offsetof(struct options, delete_untagged)},
    {'q', "quiet", offsetof(struct options, quiet)},
    {0, "json", offsetof(struct options, json)},
    {'h', "help", offsetof(struct options, help)},
};

static int wrong(const char *what, rs_str arg)
{
    fprintf(stderr, "roadstead garbage-collect: %s: " RS_STR_FMT "\n\n%s", what, RS_STR_ARG(arg), usage);
    return RS_EXIT_USAGE;
}

static bool *field_of(struct options *o, const struct flag *flag)
{
    return (bool *)(void *)((char *)o + flag->offset);
}

/* Go's strconv.ParseBool. */
static bool parse_bool(rs_str text, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

    for (size_t i = 0; i < RS_COUNT(yes); i++) {
        if (rs_str_eq_c(text, yes[i]) || rs_str_eq_c(text, no[i])) {
            *out = rs_str_eq_c(text, yes[i]);
            return true;
        }
    }
    return false;
}

static int set_flag(struct options *o, const struct flag *flag, bool has_value, rs_str value)
{
    bool *field = field_of(o, flag);

    if (has_value && !parse_bool(value, field))
        return wrong("true or false was expected", value);
    if (!has_value)
        *field = true;
    return RS_EXIT_OK;
}

static int parse_grace(struct options *o, rs_str value)
{
    if (!rs_duration_parse(value, &o->grace_ms) || o->grace_ms < GRACE_MIN_MS || o->grace_ms > GRACE_MAX_MS)
        return wrong("--grace needs a time from 1s to 8760h", value);
    return RS_EXIT_OK;
}

/* "--name", "--name=value", and "--grace value" with the next argument. */
static int parse_long(struct options *o, rs_str arg, const char *next, bool *out_took_next)
{
    rs_str name, value;
    bool has_value = rs_str_cut(arg, '=', &name, &value);

    if (rs_str_eq(name, RS_STR("grace"))) {
        if (!has_value && next == NULL)
            return wrong("a time was expected behind", RS_STR("--grace"));
        *out_took_next = !has_value;
        return parse_grace(o, has_value ? value : rs_str_c(next));
    }
    for (size_t i = 0; i < RS_COUNT(flags); i++)
        if (rs_str_eq_c(name, flags[i].name))
            return set_flag(o, &flags[i], has_value, value);
    return wrong("there is no such flag", arg);
}

/* "-dm", "-d=true" */
static int parse_letters(struct options *o, rs_str arg)
{
    rs_str letters, value;
    bool has_value = rs_str_cut(arg, '=', &letters, &value);

    for (size_t k = 0; k < letters.len; k++) {
        const struct flag *found = NULL;
        for (size_t i = 0; i < RS_COUNT(flags); i++)
            if (flags[i].letter != 0 && flags[i].letter == letters.ptr[k])
                found = &flags[i];
        if (found == NULL)
            return wrong("there is no such flag", arg);
        int status = set_flag(o, found, has_value && k + 1 == letters.len, value);
        if (status != RS_EXIT_OK)
            return status;
    }
    return RS_EXIT_OK;
}

static int parse_path(struct options *o, rs_str arg)
{
    if (o->path != NULL)
        return wrong("there is more than one configuration", arg);
    o->path = arg.ptr;
    return RS_EXIT_OK;
}

static int parse(int argc, char **argv, struct options *o)
{
    bool only_paths = false;
    int status = RS_EXIT_OK;

    for (int i = 1; i < argc && status == RS_EXIT_OK; i++) {
        rs_str arg = rs_str_c(argv[i]);
        bool took_next = false;
        if (only_paths || arg.len < 2 || arg.ptr[0] != '-')
            status = parse_path(o, arg);
        else if (rs_str_eq(arg, RS_STR("--")))
            only_paths = true;
        else if (rs_str_starts(arg, RS_STR("--")))
            status = parse_long(o, rs_str_sub(arg, 2, arg.len), i + 1 < argc ? argv[i + 1] : NULL, &took_next);
        else
            status = parse_letters(o, rs_str_sub(arg, 1, arg.len));
        i += took_next;
    }
    return status;
}

/* --- what is printed --- */

static const char *const kinds[] = {
    [RS_REMOVE_MANIFEST] = "manifest",
    [RS_REMOVE_LINK] = "link",
    [RS_REMOVE_BLOB] = "blob",
};

static void print_begin(const struct rs_collect_report *report)
{
    if (report->grace_s == 0)
        printf("no server uses the storage: whatever nothing needs may go\n");
    else
        printf("beside servers: what was used within %lld seconds stays\n", (long long)report->grace_s);
    if (report->resumed)
        printf("going on with the run that was stopped\n");
}

static void print_planned(const struct rs_collect_report *report)
{
    printf("\n%llu blobs marked, %llu blobs and %llu manifests eligible for deletion\n",
           (unsigned long long)report->marked, (unsigned long long)report->eligible[RS_REMOVE_BLOB],
           (unsigned long long)report->eligible[RS_REMOVE_MANIFEST]);
}

static void print_eligible(const struct rs_collect_told *told)
{
    if (told->kind == RS_REMOVE_BLOB)
        printf("blob eligible for deletion: %s\n", told->digest->text);
    else
        printf("%s eligible for deletion: " RS_STR_FMT "@%s\n", kinds[told->kind], RS_STR_ARG(told->repository),
               told->digest->text);
}

static void print_json_eligible(const struct rs_collect_told *told)
{
    printf("{\"eligible\":\"%s\",\"digest\":\"%s\"", kinds[told->kind], told->digest->text);
    if (told->kind == RS_REMOVE_BLOB)
        printf(",\"size\":%llu}\n", (unsigned long long)told->size);
    else
        printf(",\"repository\":\"" RS_STR_FMT "\"}\n", RS_STR_ARG(told->repository));
}

static void tell(void *ctx, const struct rs_collect_told *told)
{
    const struct options *o = ctx;

    if (o->json) {
        if (told->event == RS_COLLECT_ELIGIBLE)
            print_json_eligible(told);
        return;
    }
    switch (told->event) {
    case RS_COLLECT_BEGUN:
        print_begin(told->report);
        break;
    case RS_COLLECT_REPOSITORY:
        printf(RS_STR_FMT "\n", RS_STR_ARG(told->repository));
        break;
    case RS_COLLECT_MANIFEST:
        printf(RS_STR_FMT ": marking manifest %s\n", RS_STR_ARG(told->repository), told->digest->text);
        break;
    case RS_COLLECT_PLANNED:
        print_planned(told->report);
        break;
    case RS_COLLECT_ELIGIBLE:
        print_eligible(told);
        break;
    }
}

static void print_json_kinds(const char *name, const uint64_t counts[RS_REMOVAL_KINDS])
{
    printf(",\"%s\":{\"manifests\":%llu,\"links\":%llu,\"blobs\":%llu}", name,
           (unsigned long long)counts[RS_REMOVE_MANIFEST], (unsigned long long)counts[RS_REMOVE_LINK],
           (unsigned long long)counts[RS_REMOVE_BLOB]);
}

static const char *json_bool(bool value)
{
    return value ? "true" : "false";
}

static void print_json(const struct options *o, const struct rs_collect_report *r)
{
    printf("{\"dry_run\":%s,\"delete_untagged\":%s,\"complete\":%s,\"resumed\":%s,\"grace_seconds\":%lld",
           json_bool(o->dry_run), json_bool(o->delete_untagged), json_bool(r->complete), json_bool(r->resumed),
           (long long)r->grace_s);
    printf(",\"repositories\":%llu,\"manifests\":%llu,\"marked\":%llu", (unsigned long long)r->repositories,
           (unsigned long long)r->manifests, (unsigned long long)r->marked);
    print_json_kinds("eligible", r->eligible);
    print_json_kinds("removed", r->removed);
    print_json_kinds("spared", r->spared);
    printf(",\"eligible_bytes\":%llu,\"freed_bytes\":%llu,\"mark_milliseconds\":%lld,\"sweep_milliseconds\":%lld}\n",
           (unsigned long long)r->eligible_bytes, (unsigned long long)r->freed, (long long)r->mark_ms,
           (long long)r->sweep_ms);
}

static void print_summary(const struct options *o, const struct rs_collect_report *r)
{
    uint64_t spared = r->spared[RS_REMOVE_MANIFEST] + r->spared[RS_REMOVE_LINK] + r->spared[RS_REMOVE_BLOB];

    if (o->dry_run)
        printf("dry run: nothing was removed; %llu blobs of %llu bytes, %llu links and %llu manifests would be "
               "(%lld ms)\n",
               (unsigned long long)r->eligible[RS_REMOVE_BLOB], (unsigned long long)r->eligible_bytes,
               (unsigned long long)r->eligible[RS_REMOVE_LINK], (unsigned long long)r->eligible[RS_REMOVE_MANIFEST],
               (long long)r->mark_ms);
    else
        printf("removed %llu blobs, %llu links and %llu manifests, spared %llu; %llu bytes are free again "
               "(marking %lld ms, removing %lld ms)\n",
               (unsigned long long)r->removed[RS_REMOVE_BLOB], (unsigned long long)r->removed[RS_REMOVE_LINK],
               (unsigned long long)r->removed[RS_REMOVE_MANIFEST], (unsigned long long)spared,
               (unsigned long long)r->freed, (long long)r->mark_ms, (long long)r->sweep_ms);
}

/* --- the run --- */

/* Asked at every step, of which there are hundreds of thousands a second. */
static bool goes_on(void *ctx)
{
    static int64_t asked_ms;
    int64_t now_ms = rs_mono_ms();
    (void)ctx;
    if (now_ms - asked_ms < ASK_MS)
        return true;
    asked_ms = now_ms;
    return !rs_process_is_told_to_stop();
}

static int finish(const struct options *o, const struct rs_collect_report *report)
{
    if (o->json)
        print_json(o, report);
    else if (!o->quiet)
        print_summary(o, report);
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        fprintf(stderr, "roadstead: not all could be printed\n");
    if (report->complete)
        return RS_EXIT_OK;
    fprintf(stderr, "roadstead: stopped by a signal; the next run with the same flags does the rest\n");
    return RS_EXIT_FAILED;
}

static int collect(struct options *o, const struct rs_opened *opened)
{
    struct rs_err err = {0};
    struct rs_collect_report report;
    const struct rs_collect_options options = {
        .dry_run = o->dry_run,
        .delete_untagged = o->delete_untagged,
        .list = !o->quiet,
        .alone = o->grace_ms == 0,
        .grace_s = (o->grace_ms > 0 ? o->grace_ms : opened->config->collection.grace_ms) / 1000,
        .goes_on = goes_on,
        .tell = o->quiet ? NULL : tell,
        .ctx = o,
    };

    if (opened->config->storage.driver == RS_CONFIG_INMEMORY) {
        fprintf(stderr, "roadstead: storage: inmemory: there is nothing to collect\n");
        return RS_EXIT_OK;
    }
    rs_rc rc = rs_collect(opened->storage, opened->registry, opened->state.path, &options, &report, &err);
    if (rc == RS_OK)
        return finish(o, &report);
    fflush(stdout);
    fprintf(stderr, "roadstead: %s\n", err.text);
    return RS_EXIT_FAILED;
}

int rs_cmd_garbage_collect(int argc, char **argv)
{
    RS_AUTO(rs_opened_close) struct rs_opened opened = {0};
    struct options o = {0};
    int status = parse(argc, argv, &o);

    if (status != RS_EXIT_OK)
        return status;
    if (o.help) {
        fputs(usage, stdout);
        return RS_EXIT_OK;
    }
    if (o.path == NULL && getenv("REGISTRY_CONFIGURATION_PATH") == NULL)
        return wrong("a configuration is needed", RS_STR("none was named"));
    rs_process_signals();
    status = rs_opened_open(o.path, &opened);
    return status == RS_EXIT_OK ? collect(&o, &opened) : status;
}
