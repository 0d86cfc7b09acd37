/* SPDX-License-Identifier: Apache-2.0 */
/* roadstead check [--repair] [--json] [--no-hash] [--rate BYTES] [-q] [CONFIG.yml]: looks at everything that is stored.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/cmd.h"
#include "cmd/opened.h"
#include "upkeep/check.h"

static const char usage[] =
    "Usage: roadstead check [--repair] [--json] [--no-hash] [--rate BYTES] [-q] [CONFIG.yml]\n"
    "Looks at everything that is stored and tells what is broken. It may run beside servers.\n"
    "  --repair      mends what can be mended without loss; what is corrupt goes to the quarantine\n"
    "  --json        the report as one object of JSON\n"
    "  --no-hash     does not read the blobs\n"
    "  --rate BYTES  reads so many bytes a second at most\n"
    "  -q, --quiet   tells only what stays broken\n"
    "Exit status: 0: nothing is broken (any more); 1: something is, or the check was ended early; 2: usage.\n";

struct arguments {
    bool repair;
    bool json;
    bool quiet;
    bool no_hash;
    uint64_t rate;
    const char *config;
};

/* What the run tells, and when it last said how far it is. */
struct run {
    struct rs_check_report report;
    bool shows_progress;
    int64_t shown_ms;
};

static atomic_bool ended;

static void end(int sig)
{
    (void)sig;
    atomic_store(&ended, true);
}

/* A second signal ends it at once. */
static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = end, .sa_flags = (int)SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

static bool goes_on(void *ctx)
{
    (void)ctx;
    return !atomic_load(&ended);
}

static void found(void *ctx, const struct rs_finding *finding)
{
    struct run *run = ctx;

    if (run->shows_progress)
        fputs("\r\033[K", stderr);
    rs_check_report_finding(&run->report, finding);
}

static void progress(void *ctx, const struct rs_check_counts *counts)
{
    struct run *run = ctx;
    int64_t now = rs_mono_ms();

    if (!run->shows_progress || now - run->shown_ms < 1000)
        return;
    uint64_t findings = counts->errors + counts->warnings + counts->mended;
    run->shown_ms = now;
    fprintf(stderr, "\r\033[K%llu blobs, %llu MiB read, %llu repositories, %llu manifests, %llu findings",
            (unsigned long long)counts->blobs, (unsigned long long)(counts->hashed_bytes >> 20),
            (unsigned long long)counts->repositories, (unsigned long long)counts->manifests,
            (unsigned long long)findings);
}

/* False: it is none of ours, or wants a value that is not there. */
static bool parse_option(struct arguments *a, char **argv, int *i)
{
    rs_str option = rs_str_c(argv[*i]);

    if (rs_str_eq(option, RS_STR("--repair")))
        return a->repair = true;
    if (rs_str_eq(option, RS_STR("--json")))
        return a->json = true;
    if (rs_str_eq(option, RS_STR("--no-hash")))
        return a->no_hash = true;
    if (rs_str_eq(option, RS_STR("-q")) || rs_str_eq(option, RS_STR("--quiet")))
        return a->quiet = true;
    if (!rs_str_eq(option, RS_STR("--rate")) || argv[*i + 1] == NULL)
        return false;
    return rs_str_u64(rs_str_c(argv[++*i]), UINT64_MAX, &a->rate);
}

static bool parse(int argc, char **argv, struct arguments *out)
{
    for (int i = 1; i < argc; i++) {
        bool is_option = argv[i][0] == '-';
        if (is_option ? !parse_option(out, argv, &i) : out->config != NULL)
            return false;
        if (!is_option)
            out->config = argv[i];
    }
    return true;
}

static int check(const struct arguments *a, struct rs_opened *o)
{
    struct run run = {.report = {.out = stdout, .json = a->json, .quiet = a->quiet},
                      .shows_progress = !a->quiet && isatty(STDERR_FILENO) == 1};
    struct rs_check_counts counts;
    struct rs_err err = {0};
    const struct rs_check_config config = {
        .storage = o->storage,
        .registry = o->registry,
        .state_dir = o->state.path,
        .repair = a->repair,
        .hash = !a->no_hash,
        .rate = a->rate,
        .grace_s = rs_check_has_server(o->storage) ? o->config->collection.grace_ms / 1000 : 0,
        .upload_age_s = o->config->storage.purge.age_ms / 1000,
        .goes_on = goes_on,
        .found = found,
        .progress = progress,
        .ctx = &run,
    };

    rs_check_report_begin(&run.report, &config);
    rs_rc rc = rs_check_run(&config, &counts, &err);
    if (run.shows_progress)
        fputs("\r\033[K", stderr);
    rs_check_report_end(&run.report, &counts, rc == RS_OK ? NULL : &err);
    bool is_well = rc == RS_OK && counts.complete && counts.errors == 0;
    return is_well && ferror(stdout) == 0 ? RS_EXIT_OK : RS_EXIT_FAILED;
}

int rs_cmd_check(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct rs_opened opened;

    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return RS_EXIT_OK;
    }
    if (!parse(argc, argv, &arguments)) {
        fputs(usage, stderr);
        return RS_EXIT_USAGE;
    }
    handle_signals();
    int status = rs_opened_open(arguments.config, &opened);
    if (status == RS_EXIT_OK) {
        status = check(&arguments, &opened);
        rs_opened_close(&opened);
    }
    return status;
}
