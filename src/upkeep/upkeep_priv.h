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
};

/* Abandoned uploads. In purge.c. */
void rs_upkeep_purge(const struct rs_upkeep_run *run);
