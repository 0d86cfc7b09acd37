/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the registry share. */
#pragma once

#include "registry/children.h"
#include "registry/manifest_cache.h"
#include "registry/policy.h"
#include "registry/pulls.h"
#include "registry/quota.h"
#include "registry/referrers_index.h"
#include "registry/registry.h"
#include "registry/rules.h"
#include "registry/tag.h"

struct rs_presence;
struct rs_tombstones;

struct rs_registry {
    struct rs_storage *storage; /* borrowed */
    struct rs_manifest_cache *manifests;
    struct rs_tag_cache *tags;
    struct rs_children_cache *children;
    struct rs_note_table *pushed; /* notes of manifests pushed a moment ago */
    struct rs_referrers_cache *referrers;
    struct rs_rules *rules;
    struct rs_policy *policy; /* NULL: no tag is immutable */
    struct rs_quotas *quotas; /* NULL: there is none */
    struct rs_presence *presence;
    struct rs_tombstones *tombstones;
    struct rs_pulls *pulls; /* NULL: none are tracked */
};
