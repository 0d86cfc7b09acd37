/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which servers use a storage, and how long each of them takes a link to be young. Private to the registry; any thread.
 */
#pragma once

#include "storage/storage.h"

struct rs_presence;

/* grace_s: see struct rs_registry_config; 0: this process promises nothing to anybody and is not to be seen. */
struct rs_presence *rs_presence_new(struct rs_storage *storage, int64_t grace_s);
void rs_presence_free(struct rs_presence **presence);
/* To be called before anything is promised: afterwards every collector knows of this process, and this process of every
 * collector that is stricter. Costs a look at the clock, and once a second a look at the storage. */
rs_rc rs_presence_ensure(struct rs_presence *presence, struct rs_err *err);
/* Whether a link of that time may become too old before the one to whom it is promised has used it. */
bool rs_presence_is_old(const struct rs_presence *presence, int64_t mtime_s);
/* The servers that live now, and the longest grace of theirs (0: there is none). RS_E_UNAVAILABLE: one of them does not
 * tell. */
rs_rc rs_presence_count(struct rs_storage *storage, size_t *out_servers, int64_t *out_grace_s, struct rs_err *err);

/* The remover's side. Its lock: RS_E_BUSY if another one has it. */
rs_rc rs_presence_lock_remover(struct rs_storage *storage, struct rs_storage_file **out, struct rs_err *err);
/* With the lock: says which grace it keeps. */
rs_rc rs_presence_tell_grace(struct rs_storage *storage, int64_t grace_s, struct rs_err *err);
void rs_presence_forget_grace(struct rs_storage *storage);
