/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking what is stored: a walk over all blobs and all repositories that tells what is broken, and mends what can be
 * mended without loss. It may run beside servers that are pushed to. Memory does not grow with what is stored, but for
 * what is broken in one repository. One thread, with an ordinary stack.
 */
#pragma once

#include <stdio.h>

#include "registry/registry.h"

enum rs_finding_kind {
#define RS_FINDING(name, word, severity) RS_FINDING_##name,
#include "tbl/findings.def"
#undef RS_FINDING
    RS_FINDINGS
};
const char *rs_finding_word(enum rs_finding_kind kind); /* "corrupt-blob" */
bool rs_finding_is_error(enum rs_finding_kind kind);

/* What a repair does about it. */
enum rs_finding_outcome {
    RS_FINDING_STAYS,  /* nothing: people have to */
    RS_FINDING_WOULD,  /* it would mend it */
    RS_FINDING_MENDED, /* it has mended it */
    RS_FINDING_FAILED, /* it could not */
};
const char *rs_finding_outcome_word(enum rs_finding_outcome outcome); /* "stays" … */

/* Borrowed for the call that tells it. */
struct rs_finding {
    enum rs_finding_kind kind;
    rs_str repository; /* may be empty, as the next two */
    rs_str subject;    /* a digest, a tag, an upload's UUID */
    rs_str path;
    rs_str what;   /* what is wrong, for people */
    rs_str action; /* what a repair does, did, or why it could not */
    enum rs_finding_outcome outcome;
};

struct rs_check_counts {
    uint64_t blobs;
    uint64_t blob_bytes;
    uint64_t hashed_blobs;
    uint64_t hashed_bytes;
    uint64_t repositories;
    uint64_t manifests;
    uint64_t layer_links;
    uint64_t tags;
    uint64_t uploads;
    bool unlinked_known;     /* whether the next two could be counted */
    uint64_t unlinked_blobs; /* that no repository links: a collection would free them */
    uint64_t unlinked_bytes;
    uint64_t findings[RS_FINDINGS];
    uint64_t errors;   /* of severity ERROR that are not mended */
    uint64_t warnings; /* the same of the others */
    uint64_t mended;
    bool complete; /* all was looked at */
};

struct rs_check_config {
    struct rs_storage *storage; /* that of the registry */
    struct rs_registry *registry;
    const char *state_dir; /* for a file of what was seen; NULL: some things are not counted */
    bool repair;
    bool hash;            /* read all blobs */
    uint64_t rate;        /* bytes a second that are read at most; 0: no limit */
    int64_t grace_s;      /* what looks unfinished and is younger is left alone */
    int64_t upload_age_s; /* as rs_upload_purge */
    bool (*goes_on)(void *ctx);
    void (*found)(void *ctx, const struct rs_finding *finding);
    void (*progress)(void *ctx, const struct rs_check_counts *counts); /* may be NULL; often */
    void *ctx;
};

/* Whether a server uses the storage now, in whatever process. */
bool rs_check_has_server(struct rs_storage *storage);
/* Looks at everything. *out is filled in on an error as well, which means that the storage could not be used at all. */
rs_rc rs_check_run(const struct rs_check_config *config, struct rs_check_counts *out, struct rs_err *err);

/* The server's last report, as JSON, in its state directory. */
#define RS_CHECK_REPORT "check.json"

/* A report, written as things are found: text, a line each and a summary; or one object of JSON. Whether the stream
 * took it all is for its owner to see. */
struct rs_check_report {
    FILE *out;
    bool json;
    bool quiet;    /* text: only what stays broken, and no summary */
    uint64_t told; /* findings; 0 at first */
};
void rs_check_report_begin(struct rs_check_report *report, const struct rs_check_config *config);
void rs_check_report_finding(struct rs_check_report *report, const struct rs_finding *finding);
/* err: what ended the run before its time; NULL: nothing. */
void rs_check_report_end(struct rs_check_report *report, const struct rs_check_counts *counts,
                         const struct rs_err *err);
