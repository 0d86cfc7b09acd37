/* SPDX-License-Identifier: Apache-2.0 */
/* Repository names and tags (distribution-spec 1.1, "Pulling manifests"). Pure; any thread. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "oci/digest.h"

#define RS_NAME_MAX 255 /* bytes of a repository name, as registry:2 */
#define RS_TAG_MAX 128

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/…)*, at most RS_NAME_MAX bytes; else RS_E_NAME_INVALID. */
rs_rc rs_name_check(rs_str name, struct rs_err *err);
/* Goes down from the name of *len bytes (0: from the top) in name[RS_NAME_MAX + 1] to a child. False, with *len as it
 * was, if the longer name cannot be a repository's. Bytes behind *len are spoilt. */
bool rs_name_enter(char *name, size_t *len, rs_str child);
/* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}; else RS_E_TAG_INVALID. */
rs_rc rs_tag_check(rs_str tag, struct rs_err *err);

/* A manifest reference: a digest if it holds a colon, else a tag. */
struct rs_reference {
    bool is_digest;
    struct rs_digest digest;
    rs_str tag; /* borrowed from the text */
};
/* A text with a colon that is no digest gives RS_E_DIGEST_INVALID, a wrong tag RS_E_TAG_INVALID. */
rs_rc rs_reference_parse(rs_str text, struct rs_reference *out, struct rs_err *err);
