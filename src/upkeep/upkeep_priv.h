/* SPDX-License-Identifier: Apache-2.0 */
/* The tasks of upkeep: one function each, which does one run and logs it. Private to upkeep. */
#pragma once

#include "upkeep/upkeep.h"

/* What a run is given. */
struct rs_upkeep_run {
    const struct rs_config *config;
    struct rs_storage *storage;
    struct rs_registry *registry;
    const char *state_dir;
    bool (*goes_on)(void *ctx); /* false: the server ends, or no longer writes. Ask at every step; any thread */
    void *ctx;
    /* As in struct rs_upkeep_config. */
    void (*on_tag_removed)(void *ctx, rs_str repository, rs_str tag);
    void *server;
};

/* Abandoned uploads. In purge.c. */
void rs_upkeep_purge(const struct rs_upkeep_run *run);
/* The rules of retention, and the pulls that they ask for. In retention_task.c. */
void rs_upkeep_retention(const struct rs_upkeep_run *run);
void rs_upkeep_pulls(const struct rs_upkeep_run *run);
/* What nothing needs. In collect_task.c. */
void rs_upkeep_collect(const struct rs_upkeep_run *run);
/* A check of all that is stored, as roadstead.check says. In check_task.c. */
void rs_upkeep_check(const struct rs_upkeep_run *run);
