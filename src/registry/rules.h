/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's rules for what a pushed manifest names. Private to the registry; immutable, any thread. */
#pragma once

#include "oci/manifest.h"
#include "registry/registry.h"

struct rs_rules;

/* RS_E_CONFIG. */
rs_rc rs_rules_new(const struct rs_manifest_rules *from, struct rs_rules **out, struct rs_err *err);
void rs_rules_free(struct rs_rules **rules);

/* RS_E_MANIFEST_INVALID: a URL of the descriptor is not allowed. */
rs_rc rs_rules_check_urls(const struct rs_rules *rules, const struct rs_descriptor *descriptor, struct rs_err *err);
/* Whether what it names must be in the repository. */
bool rs_rules_need(const struct rs_rules *rules, const struct rs_descriptor *descriptor);
