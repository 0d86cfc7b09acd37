/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of retention: which tags are the newest, and what a rule says of one. Private to upkeep. */
#pragma once

#include "base/str.h"
#include "oci/reference.h"
#include "upkeep/retention.h"

/* --- retention_newest.c: the N newest tags of a repository, in memory that grows with N alone --- */

struct rs_newest {
    uint64_t limit; /* at most RS_CONFIG_KEEP_LAST_MAX */
    uint64_t seen;
    uint64_t count;
    struct rs_newest_tag {
        int64_t pushed_s;
        unsigned char len;
        char name[RS_TAG_MAX];
    } * tags;
};

void rs_newest_init(struct rs_newest *n, uint64_t limit);
void rs_newest_release(struct rs_newest *n);
void rs_newest_add(struct rs_newest *n, rs_str tag, int64_t pushed_s);
void rs_newest_sort(struct rs_newest *n); /* after the last one was added */
/* Its number, from 1: how many are newer. Of two of the same second the one counts as newer whose name is later in byte
 * order. 0: it is not among the newest. One that was pushed since then is. */
uint64_t rs_newest_number(const struct rs_newest *n, rs_str tag, int64_t pushed_s);

/* --- retention_decide.c --- */

struct rs_retention_case {
    int64_t now_s;
    int64_t pushed_s;
    int64_t pulled_s;      /* RS_RETENTION_NEVER */
    int64_t tracked_s;     /* since when pulls are tracked; RS_RETENTION_NEVER: they are not */
    const char *kept_by;   /* the pattern of keep_tags that matches; NULL */
    const char *companion; /* the manifest that it belongs to, and that is there; NULL */
    uint64_t number;       /* as rs_newest_number */
    uint64_t of;           /* how many keep_last counts */
};

/* True: the tag goes. Appends the reason. Pure. */
bool rs_retention_decide(const struct rs_config_retention_rule *rule, const struct rs_retention_case *c,
                         struct rs_buf *reason);
/* Appends "3 days 4 h", "12 min". */
void rs_retention_span(struct rs_buf *out, int64_t seconds);
