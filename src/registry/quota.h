/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas: how many bytes the repositories that an entry names may link together. A blob (a layer, a configuration, a
 * manifest) that several of them link counts once, and costs nothing where one of them has it already. How that is
 * kept, and what it promises, stands in quota.c. All calls may block; any thread. Private to the registry.
 */
#pragma once

#include "oci/digest.h"
#include "registry/registry.h"

struct rs_quotas;
struct rs_quota_claim;

enum rs_quota_kind { RS_QUOTA_LAYER, RS_QUOTA_REVISION };

/* NULL: there is none. What is in `config` is copied, but for the texts; the storage is borrowed. */
struct rs_quotas *rs_quotas_new(const struct rs_registry_config *config, struct rs_storage *storage);
void rs_quotas_free(struct rs_quotas **quotas);

/* Before a link to content of that size is made: takes the room, in all quotas of the repository or in none. *out may
 * become NULL: no quota. RS_E_DENIED, with text for people; RS_E_UNAVAILABLE; errors of the storage. */
rs_rc rs_quota_take(struct rs_registry *registry, rs_str repository, enum rs_quota_kind kind,
                    const struct rs_digest *digest, uint64_t size, struct rs_quota_claim **out, struct rs_err *err);
/* Afterwards. made: the link is there; if not, the room is given back unless it is there all the same. Frees and nulls
 * it; NULL is fine. */
void rs_quota_settle(struct rs_registry *registry, struct rs_quota_claim **claim, bool made);
/* Whether there would be room now; nothing is taken. digest: NULL if it is not known. */
rs_rc rs_quota_check(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest, uint64_t size,
                     struct rs_err *err);
/* The smallest quota of the repository; UINT64_MAX if there is none. */
uint64_t rs_quota_limit(struct rs_registry *registry, rs_str repository);
/* RS_E_DENIED: it never fits, as it is larger than rs_quota_limit. */
rs_rc rs_quota_refuse(struct rs_registry *registry, rs_str repository, struct rs_err *err);
/* A link of the repository was removed by this process (empty: of any). Does not block. */
void rs_quota_removed(struct rs_registry *registry, rs_str repository);
void rs_quota_measure(struct rs_quotas *quotas); /* sets the metrics; NULL is fine */
