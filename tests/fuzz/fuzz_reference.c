/* SPDX-License-Identifier: Apache-2.0 */
/* Names, tags, digests and references, which end up in paths, and stored hash states. */
#include "base/hash.h"
#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool contains(rs_str s, rs_str part)
{
    for (size_t i = 0; i + part.len <= s.len; i++) {
        if (rs_str_starts(rs_str_from(s, i), part))
            return true;
    }
    return false;
}

/* A good name can be joined to a path: it stays below, and makes no hidden or reserved entry. */
static void check_name(rs_str s)
{
    if (rs_name_check(s, NULL) != RS_OK)
        return;
    RS_ASSERT(s.len > 0 && s.len <= RS_NAME_MAX);
    RS_ASSERT(s.ptr[0] != '/' && s.ptr[s.len - 1] != '/');
    RS_ASSERT(!contains(s, RS_STR("//")) && !contains(s, RS_STR("..")));
    RS_ASSERT(!contains(s, RS_STR("/.")) && !contains(s, RS_STR("/_")) && s.ptr[0] != '_' && s.ptr[0] != '.');
    RS_ASSERT(memchr(s.ptr, '\0', s.len) == NULL);
}

static void check_reference(rs_str s)
{
    struct rs_err err;
    struct rs_reference ref;
    rs_rc rc = rs_reference_parse(s, &ref, &err);
    if (rc != RS_OK) {
        RS_ASSERT(rc == RS_E_TAG_INVALID || rc == RS_E_DIGEST_INVALID);
        RS_ASSERT(rc == err.rc && strlen(err.text) < RS_ERR_TEXT_MAX);
    } else if (ref.is_digest) {
        RS_ASSERT(rs_str_eq(rs_digest_str(&ref.digest), s));
        RS_ASSERT(strlen(rs_digest_hex(&ref.digest)) == 2 * rs_hash_size(ref.digest.alg));
    } else {
        RS_ASSERT(rs_str_eq(ref.tag, s) && s.len > 0 && s.len <= RS_TAG_MAX);
        RS_ASSERT(s.ptr[0] != '.' && memchr(s.ptr, '/', s.len) == NULL && memchr(s.ptr, '\0', s.len) == NULL);
    }
}

/* Any state that is taken can be hashed on, and stored again to one that gives the same hash. */
static void check_hash_state(enum rs_hash_alg alg, rs_str s)
{
    struct rs_hash first;
    struct rs_hash second;
    uint8_t stored[RS_HASH_STATE_MAX];
    uint8_t a[RS_HASH_MAX];
    uint8_t b[RS_HASH_MAX];
    if (!rs_hash_import(&first, alg, s.ptr, s.len))
        return;
    size_t len = rs_hash_export(&first, stored);
    RS_ASSERT(len == s.len && rs_hash_import(&second, alg, stored, len));
    rs_hash_update(&first, "some more bytes", 15);
    rs_hash_update(&second, "some more bytes", 15);
    rs_hash_final(&first, a);
    rs_hash_final(&second, b);
    RS_ASSERT(memcmp(a, b, rs_hash_size(alg)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rs_str s = {(const char *)data, size};
    check_name(s);
    check_reference(s);
    check_hash_state(RS_SHA256, s);
    check_hash_state(RS_SHA512, s);
    return 0;
}
