/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest of any type. What is accepted must be consistent, and be accepted again under its own type only. */
#include "oci/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const types[] = {RS_MEDIA_OCI_MANIFEST, RS_MEDIA_OCI_INDEX,      RS_MEDIA_DOCKER_MANIFEST,
                                    RS_MEDIA_DOCKER_LIST,  RS_MEDIA_DOCKER_SCHEMA1, RS_MEDIA_DOCKER_SCHEMA1_SIGNED};

static void check_string(rs_str s)
{
    RS_ASSERT(s.len == 0 || s.ptr[s.len] == '\0'); /* reads behind the end if the arena gave too little */
}

static void check_descriptor(const struct rs_descriptor *d)
{
    struct rs_digest again;
    RS_ASSERT(rs_digest_parse(rs_str_c(d->digest.text), &again, NULL) == RS_OK);
    RS_ASSERT(rs_digest_eq(&again, &d->digest));
    RS_ASSERT(d->size <= INT64_MAX);
    RS_ASSERT(!d->foreign || d->role == RS_ROLE_LAYER);
    check_string(d->media_type);
    for (size_t i = 0; i < d->url_count; i++)
        check_string(d->urls[i]);
}

static void check_manifest(const struct rs_manifest *m)
{
    check_string(m->media_type);
    check_string(m->artifact_type);
    RS_ASSERT(m->media_type.len > 0);
    RS_ASSERT(m->kind != RS_MANIFEST_SCHEMA1 || m->descriptor_count == 0);
    RS_ASSERT(m->kind != RS_MANIFEST_IMAGE || m->descriptor_count >= 1);
    for (size_t i = 0; i < m->descriptor_count; i++) {
        check_descriptor(&m->descriptors[i]);
        RS_ASSERT((m->kind == RS_MANIFEST_INDEX) == (m->descriptors[i].role == RS_ROLE_MANIFEST));
        RS_ASSERT((m->descriptors[i].role == RS_ROLE_CONFIG) == (m->kind == RS_MANIFEST_IMAGE && i == 0));
    }
    if (m->has_subject)
        check_descriptor(&m->subject);
}

/* What is accepted is listed as what it was accepted as. */
static void check_referrer(rs_str bytes, struct rs_arena *arena, const struct rs_manifest *accepted)
{
    struct rs_referrer r;
    bool is_one = rs_manifest_referrer(bytes, arena, &r);
    if (accepted != NULL)
        RS_ASSERT(is_one == accepted->has_subject);
    if (!is_one)
        return;
    check_string(r.media_type);
    check_string(r.artifact_type);
    check_string(r.annotations);
    RS_ASSERT(r.annotations.len <= bytes.len);
    if (accepted == NULL)
        return;
    RS_ASSERT(rs_digest_eq(&r.subject, &accepted->subject.digest));
    RS_ASSERT(rs_str_eq(r.media_type, accepted->media_type));
    RS_ASSERT(rs_str_eq(r.artifact_type, accepted->artifact_type));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rs_str bytes = {(const char *)data, size};
    struct rs_arena *arena = rs_arena_new();
    struct rs_manifest m;
    struct rs_err err;
    bool shape_known = rs_manifest_parse(bytes, RS_STR(""), arena, &m, &err) == RS_OK;
    RS_ASSERT(shape_known || err.rc == RS_E_MANIFEST_INVALID || err.rc == RS_E_MANIFEST_TOO_BIG);
    if (shape_known)
        check_manifest(&m);
    check_referrer(bytes, arena, shape_known ? &m : NULL);
    for (size_t i = 0; i < RS_COUNT(types); i++) {
        struct rs_manifest typed;
        if (rs_manifest_parse(bytes, rs_str_c(types[i]), arena, &typed, NULL) != RS_OK)
            continue;
        check_manifest(&typed);
        RS_ASSERT(rs_str_eq_c(typed.media_type, types[i]));
        RS_ASSERT(!shape_known || typed.kind == m.kind); /* nobody sees another kind in the same bytes */
    }
    rs_arena_free(&arena);
    return 0;
}
