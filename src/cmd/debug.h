/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The debug server (http.debug): metrics, health and quotas, for operators, at an address of its own. A server beside
 * the main one, with few threads and connections, so that it answers when that one is full, and cannot fill the
 * process.
 */
#pragma once

#include "api/api.h"
#include "registry/registry.h"

struct rs_debug;

/* Binds; *out stays NULL if no address is configured. Borrows config. */
rs_rc rs_debug_new(const struct rs_config *config, struct rs_debug **out, struct rs_err *err);
/* Serves what there is to tell of these, which are borrowed. NULL is fine. */
rs_rc rs_debug_start(struct rs_debug *debug, struct rs_http_server *server, struct rs_health *health,
                     struct rs_registry *registry, const char *state_dir, struct rs_err *err);
const char *rs_debug_address(const struct rs_debug *debug); /* NULL if there is none */
/* False: a thread hangs in it. NULL is fine. */
bool rs_debug_free(struct rs_debug **debug);
