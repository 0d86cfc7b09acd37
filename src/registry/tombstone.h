/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tombstones: the list of what a remover is about to take (remove.h). One file, roadstead/v1/tombstones, written whole
 * and removed whole; a line each, in byte order: "@<digest>" for the data of a blob, "<repository>@<digest>" for what a
 * repository has of it. Private to the registry; any thread.
 */
#pragma once

#include "registry/remove.h"

struct rs_tombstones; /* what was last read of it */

struct rs_tombstones *rs_tombstones_new(struct rs_storage *storage);
void rs_tombstones_free(struct rs_tombstones **tombstones);
/* Whether the data of the blob, or what the repository has of it, is on the list. Without a list: one stat. */
rs_rc rs_tombstones_look(struct rs_tombstones *tombstones, rs_str repository, const struct rs_digest *digest,
                         bool *out_found, struct rs_err *err);
/* Waits until neither is; *out_waited becomes true if it was. RS_E_UNAVAILABLE: that took too long. */
rs_rc rs_tombstones_wait(struct rs_tombstones *tombstones, rs_str repository, const struct rs_digest *digest,
                         bool *out_waited, struct rs_err *err);

/* The remover's side; with its lock (presence.h). */
rs_rc rs_tombstones_put(struct rs_storage *storage, const struct rs_removal *items, size_t count, struct rs_err *err);
rs_rc rs_tombstones_lift(struct rs_storage *storage, struct rs_err *err);
