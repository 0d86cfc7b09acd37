/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state directory: what one process keeps for itself on the local disk (docs/DATA.md): indexes of listings, queues.
 * It is locked while the process runs and never shared. The lock ends with the process, however that ends.
 */
#pragma once

#include "base/err.h"

struct rs_state {
    char *path; /* NULL: not open */
    int lock;
    bool is_temporary; /* removed at the end: nothing in it outlives the process */
};

/* configured: roadstead.state_dir, or "". Then the first directory <fallback>/<number> that no other process holds is
 * taken, or, where none can be made (a read-only disk) or fallback is NULL, a temporary one. RS_E_CONFIG if the
 * configured one cannot be used or is another process's. */
rs_rc rs_state_open(const char *configured, const char *fallback, struct rs_state *out, struct rs_err *err);
void rs_state_close(struct rs_state *state); /* nothing open is fine */
