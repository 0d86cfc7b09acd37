/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command works on: the configuration, the storage, a state directory and the registry on top. The server opens
 * it in two steps, other commands by one call. One thread; what is in it may then be used by any.
 */
#pragma once

#include "cmd/state.h"
#include "config/config.h"
#include "registry/registry.h"

struct rs_opened {
    struct rs_config *config;
    struct rs_state state;
    struct rs_storage *storage;
    struct rs_registry *registry;
};

/* For commands other than serve: loads the configuration (path NULL: the one that REGISTRY_CONFIGURATION_PATH names,
 * else the defaults), becomes roadstead.user, and opens the rest; the state directory is a numbered or temporary one,
 * never the configured one, which is the server's. Tells on standard error what is wrong, warnings too, and returns the
 * program's exit status (cmd.h). Something is open after RS_EXIT_OK alone. */
int rs_opened_open(const char *path, struct rs_opened *out);
/* The second step alone: `config` is there already. On an error rs_opened_close is still due. */
rs_rc rs_opened_attach(struct rs_opened *opened, struct rs_err *err);
void rs_opened_close(struct rs_opened *opened); /* nothing open is fine */
