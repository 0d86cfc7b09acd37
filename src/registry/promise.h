/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request does so that no remover takes what its answer promises. The argument is in docs/COLLECTION.md; in
 * short: announce (rs_presence_ensure), have the link, renew it, look for a tombstone, look whether the link is still
 * there (a remover that looked at it before it was renewed may have been done with it when we looked for its
 * tombstone), look at the data; in this order. Private to the registry; any thread.
 */
#pragma once

#include "oci/digest.h"
#include "registry/registry_priv.h"

/* A link that was seen to be there, last changed at mtime_s, is young from now on. RS_E_NOT_FOUND: it is gone. */
rs_rc rs_promise_renew(struct rs_registry *registry, const char *link, int64_t mtime_s, struct rs_err *err);
/* The link is there, young, and durable with the batch. out_made as in rs_link_ensure. */
rs_rc rs_promise_link(struct rs_registry *registry, const char *link, const struct rs_digest *target,
                      struct rs_storage_batch *batch, bool *out_made, struct rs_err *err);
/* For a link of the repository under `digest` that leads to `target` (the same, but for registry:2's aliases): whether
 * a remover is about to take anything of it, or has taken the link (NULL: it need not be there yet), */
rs_rc rs_promise_look(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                      const struct rs_digest *target, const char *link, bool *out_taken, struct rs_err *err);
/* or waits until none is: *out_again becomes true if one was; then everything has to be looked at again. */
rs_rc rs_promise_wait(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                      const struct rs_digest *target, const char *link, bool *out_again, struct rs_err *err);
