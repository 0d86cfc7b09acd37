/* SPDX-License-Identifier: Apache-2.0 */
/* What a stored manifest needs: never less than what the parser finds, of all that the parser accepts. */
#include "oci/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX 4096

struct told {
    struct rs_digest digests[MAX];
    enum rs_descriptor_role roles[MAX];
    size_t count;
};

static void tell(void *ctx, enum rs_descriptor_role role, const struct rs_digest *digest)
{
    struct told *told = ctx;
    struct rs_digest again;
    RS_ASSERT(rs_digest_parse(rs_str_c(digest->text), &again, NULL) == RS_OK && rs_digest_eq(&again, digest));
    if (told->count < MAX) {
        told->digests[told->count] = *digest;
        told->roles[told->count] = role;
    }
    told->count++;
}

static bool was_told(const struct told *told, enum rs_descriptor_role role, const struct rs_digest *digest)
{
    for (size_t i = 0; i < told->count && i < MAX; i++)
        if (told->roles[i] == role && rs_digest_eq(&told->digests[i], digest))
            return true;
    return told->count > MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct told told;
    rs_str bytes = {(const char *)data, size};
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    struct rs_manifest m;
    struct rs_err err;
    told.count = 0;
    rs_rc rc = rs_manifest_needs(bytes, arena, tell, &told, &err);
    RS_ASSERT(rc == RS_OK || rc == RS_E_INVALID);
    if (rs_manifest_parse(bytes, RS_STR(""), arena, &m, NULL) != RS_OK)
        return 0;
    RS_ASSERT(rc == RS_OK || m.kind == RS_MANIFEST_SCHEMA1); /* of which the parser reads nothing */
    for (size_t i = 0; i < m.descriptor_count; i++)
        RS_ASSERT(was_told(&told, m.descriptors[i].role, &m.descriptors[i].digest));
    RS_ASSERT(!m.has_subject || was_told(&told, RS_ROLE_SUBJECT, &m.subject.digest));
    return 0;
}
