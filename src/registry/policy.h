/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's immutable tags: once such a tag is set, no client moves or removes it. Who acts for the operator
 * (retention, the collector) does not ask here. Private to the registry; immutable, any thread.
 */
#pragma once

#include "oci/digest.h"
#include "registry/registry.h"

struct rs_policy;

/* NULL: there is no rule. What is in `config` is copied, but for the texts of patterns. */
struct rs_policy *rs_policy_new(const struct rs_registry_config *config);
void rs_policy_free(struct rs_policy **policy);

/* Without a policy (NULL) these two cost nothing. */
bool rs_policy_concerns(const struct rs_policy *policy, rs_str repository); /* some of its tags are immutable */
bool rs_policy_is_immutable(const struct rs_policy *policy, rs_str repository, rs_str tag);

/* RS_E_DENIED, and for people: which tag, by which rule, what it points to, what to do. */
rs_rc rs_policy_refuse_push(const struct rs_policy *policy, rs_str repository, rs_str tag, const struct rs_digest *held,
                            struct rs_err *err);
rs_rc rs_policy_refuse_delete(const struct rs_policy *policy, rs_str repository, rs_str tag, struct rs_err *err);

/* Appends patterns for people, separated by commas; many are cut. */
void rs_policy_show(struct rs_buf *out, const char *const *globs, size_t count);
