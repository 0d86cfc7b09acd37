/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests: OCI image manifest and index (image-spec 1.1), Docker schema 2 and list, and Docker schema 1 as far as it
 * must be recognised. Parsing is pure, checks what the specifications demand, and never trusts a count or a size.
 */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/digest.h"

#define RS_MANIFEST_MAX (4 * 1024 * 1024) /* bytes */

#define RS_MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define RS_MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define RS_MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define RS_MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define RS_MEDIA_DOCKER_SCHEMA1 "application/vnd.docker.distribution.manifest.v1+json"
#define RS_MEDIA_DOCKER_SCHEMA1_SIGNED "application/vnd.docker.distribution.manifest.v1+prettyjws"

enum rs_manifest_kind {
    RS_MANIFEST_IMAGE,   /* config and layers: OCI manifest, Docker schema 2 */
    RS_MANIFEST_INDEX,   /* manifests: OCI index, Docker list */
    RS_MANIFEST_SCHEMA1, /* recognised, nothing of it parsed */
};

enum rs_descriptor_role { RS_ROLE_CONFIG, RS_ROLE_LAYER, RS_ROLE_MANIFEST, RS_ROLE_SUBJECT };
const char *rs_descriptor_role_name(enum rs_descriptor_role role); /* "config" … */

struct rs_descriptor {
    enum rs_descriptor_role role;
    struct rs_digest digest;
    uint64_t size;
    rs_str media_type; /* may be empty: registry:2 accepts that */
    size_t url_count;  /* entries of "urls" */
    const rs_str *urls;
    rs_str annotations; /* a JSON object on one line; empty if there are none */
    bool foreign;       /* a non-distributable layer whose blob need not be in the registry */
    rs_str os;          /* RS_ROLE_MANIFEST: of its platform; may be empty */
    rs_str architecture;
};

struct rs_manifest {
    enum rs_manifest_kind kind;
    rs_str media_type;                       /* of the manifest itself, never empty */
    rs_str artifact_type;                    /* image-spec's artifactType, or the config's media type; may be empty */
    const struct rs_descriptor *descriptors; /* config, layers, manifests, in order; not the subject */
    size_t descriptor_count;
    bool has_subject;
    struct rs_descriptor subject;
};

/* Parses and validates. content_type is the client's Content-Type or stored knowledge; it may be empty, then the
 * mediaType of the content decides, else its shape. A content_type that contradicts mediaType is an error. Strings
 * live in the arena. Errors: RS_E_MANIFEST_INVALID (with what and where), RS_E_MANIFEST_TOO_BIG. "application/json"
 * says as little as an empty content_type. */
rs_rc rs_manifest_parse(rs_str bytes, rs_str content_type, struct rs_arena *arena, struct rs_manifest *out,
                        struct rs_err *err);

/* What the list of referrers tells of a manifest (distribution-spec 1.1, "Listing Referrers"). */
struct rs_referrer {
    struct rs_digest subject;
    rs_str media_type;
    rs_str artifact_type; /* of an image: else its config's media type; may be empty */
    rs_str annotations;   /* a JSON object on one line; empty if there are none */
};
/* Whether stored bytes are an OCI manifest or index with a valid subject. An older registry may have accepted what
 * rs_manifest_parse refuses, so this looks at nothing else, and passes by annotations that are no strings. Docker's
 * types know no subject. Strings live in the arena. */
bool rs_manifest_referrer(rs_str bytes, struct rs_arena *arena, struct rs_referrer *out);

/* Told of each digest that stored bytes name, as often as they do: those of an index as RS_ROLE_MANIFEST, though they
 * may be layers (BuildKit's cache). */
typedef void rs_manifest_need_visit(void *ctx, enum rs_descriptor_role role, const struct rs_digest *digest);
/* All that stored bytes need, and their subject: also of what rs_manifest_parse refuses and an older registry may have
 * accepted, of OCI's artifact manifest (its blobs are layers) and of Docker schema 1. Never too little: RS_E_INVALID,
 * with what and where, if anything of it is not understood; some may have been told by then. The arena is for what is
 * read on the way. */
rs_rc rs_manifest_needs(rs_str bytes, struct rs_arena *arena, rs_manifest_need_visit *visit, void *ctx,
                        struct rs_err *err);
