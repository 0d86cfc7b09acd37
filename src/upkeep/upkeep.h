/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upkeep: what is done to the storage from time to time, each by a thread of its own: the purge of abandoned uploads,
 * as registry:2 has it (storage.maintenance.uploadpurging), and what stands in the table of tasks in upkeep.c.
 */
#pragma once

#include "config/config.h"
#include "registry/registry.h"

struct rs_upkeep;

struct rs_upkeep_config {
    const struct rs_config *config;
    struct rs_storage *storage; /* that of the registry */
    struct rs_registry *registry;
    const char *state_dir;        /* for what does not fit into memory */
    bool (*may_write)(void *ctx); /* asked before each run and while it goes on; any thread */
    /* Told of each tag that retention has removed; may be NULL. A thread of upkeep. */
    void (*on_tag_removed)(void *ctx, rs_str repository, rs_str tag);
    void *ctx;
};

/* Starts a thread for each task that is switched on, which logs what it does. Borrows what config points to. *out is
 * NULL if there is nothing to do. RS_E_UNAVAILABLE: no thread could be had. */
rs_rc rs_upkeep_start(const struct rs_upkeep_config *config, struct rs_upkeep **out, struct rs_err *err);
/* Ends runs that are going on at their next step, and the threads. NULL is fine. False: one hangs in the storage, and
 * uses what it borrowed until the process ends. */
bool rs_upkeep_stop(struct rs_upkeep **upkeep);

/* Milliseconds until the first run: registry:2 waits for up to 59 minutes, so that servers that start together do not
 * walk the storage together. Never longer than the interval. */
int64_t rs_upkeep_jitter_ms(int64_t interval_ms);
