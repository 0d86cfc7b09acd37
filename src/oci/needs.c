/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stored manifests need, for those who remove what nothing needs. What rs_manifest_parse accepts everybody
 * understands alike, so nobody can push what is an error here. Of the rest leaving one out loses an image, so this
 * takes whatever any reader may have understood: members in another case, of two kinds at once, without a type.
 */
#include "oci/json.h"
#include "oci/manifest.h"

#define OCI_ARTIFACT "application/vnd.oci.artifact.manifest.v1+json"

static const char *const known_types[] = {
    RS_MEDIA_OCI_MANIFEST, RS_MEDIA_OCI_INDEX,      RS_MEDIA_DOCKER_MANIFEST,
    RS_MEDIA_DOCKER_LIST,  RS_MEDIA_DOCKER_SCHEMA1, RS_MEDIA_DOCKER_SCHEMA1_SIGNED,
    OCI_ARTIFACT,
};

struct part {
    const char *key;
    const char *digest_key;
    enum rs_descriptor_role role;
    bool is_list;
    bool tells_kind; /* its presence says what the document is */
};

static const struct part parts[] = {
    {"config", "digest", RS_ROLE_CONFIG, false, true},     {"layers", "digest", RS_ROLE_LAYER, true, true},
    {"manifests", "digest", RS_ROLE_MANIFEST, true, true}, {"blobs", "digest", RS_ROLE_LAYER, true, true},
    {"fsLayers", "blobSum", RS_ROLE_LAYER, true, true},    {"subject", "digest", RS_ROLE_SUBJECT, false, false},
};

struct needs {
    rs_manifest_need_visit *visit;
    void *ctx;
    struct rs_err *err;
    bool kind_known;
};

static rs_rc visit_digest(struct needs *n, const struct part *part, const json_t *value)
{
    struct rs_digest digest;
    struct rs_err why;
    if (!json_is_string(value))
        return rs_err_set(n->err, RS_E_INVALID, "%s: %s is not a string", part->key, part->digest_key);
    rs_str text = {json_string_value(value), json_string_length(value)};
    if (rs_digest_parse(text, &digest, &why) != RS_OK)
        return rs_err_set(n->err, RS_E_INVALID, "%s: %s: %s", part->key, part->digest_key, why.text);
    n->visit(n->ctx, part->role, &digest);
    return RS_OK;
}

static rs_rc visit_descriptor(struct needs *n, const struct part *part, json_t *object)
{
    const char *key;
    json_t *value;
    size_t found = 0;
    if (!json_is_object(object))
        return rs_err_set(n->err, RS_E_INVALID, "%s: there is something else than an object", part->key);
    json_object_foreach(object, key, value)
    {
        if (!rs_json_folds_to(key, part->digest_key))
            continue;
        RS_TRY(visit_digest(n, part, value));
        found++;
    }
    if (found == 0)
        return rs_err_set(n->err, RS_E_INVALID, "%s: a %s is missing", part->key, part->digest_key);
    return RS_OK;
}

static rs_rc visit_part(struct needs *n, const struct part *part, json_t *value)
{
    n->kind_known = n->kind_known || part->tells_kind;
    if (json_is_null(value))
        return RS_OK;
    if (!part->is_list)
        return visit_descriptor(n, part, value);
    if (!json_is_array(value))
        return rs_err_set(n->err, RS_E_INVALID, "%s is not an array", part->key);
    for (size_t i = 0; i < json_array_size(value); i++)
        RS_TRY(visit_descriptor(n, part, json_array_get(value, i)));
    return RS_OK;
}

static rs_rc visit_type(struct needs *n, const json_t *value)
{
    if (json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
        return RS_OK;
    rs_str name = {json_string_value(value), json_is_string(value) ? json_string_length(value) : 0};
    for (size_t i = 0; i < RS_COUNT(known_types); i++) {
        if (rs_str_eq_nocase(name, rs_str_c(known_types[i]))) {
            n->kind_known = true;
            return RS_OK;
        }
    }
    return rs_err_set(n->err, RS_E_INVALID, "mediaType \"" RS_STR_FMT "\" is not a type of manifest that is known here",
                      RS_STR_ARG(rs_str_sub(name, 0, 100)));
}

static rs_rc visit_member(struct needs *n, const char *key, json_t *value)
{
    if (rs_json_folds_to(key, "mediaType"))
        return visit_type(n, value);
    for (size_t i = 0; i < RS_COUNT(parts); i++)
        if (rs_json_folds_to(key, parts[i].key))
            return visit_part(n, &parts[i], value);
    return RS_OK;
}

/* A member that stands twice would be seen once only: it is refused. */
static rs_rc load(rs_str bytes, json_t **out, struct rs_err *err)
{
    json_error_t error;
    if (bytes.len > RS_MANIFEST_MAX)
        return rs_err_set(err, RS_E_INVALID, "it has %zu bytes; %d are allowed", bytes.len, RS_MANIFEST_MAX);
    RS_TRY(rs_json_check(bytes, err));
    *out = json_loadb(bytes.len == 0 ? "" : bytes.ptr, bytes.len, JSON_REJECT_DUPLICATES, &error);
    if (*out == NULL)
        return rs_err_set(err, RS_E_INVALID, "line %d, column %d: %s", error.line, error.column, error.text);
    return json_is_object(*out) ? RS_OK : rs_err_set(err, RS_E_INVALID, "it is not a JSON object");
}

static void visit_parsed(struct needs *n, const struct rs_manifest *m)
{
    for (size_t i = 0; i < m->descriptor_count; i++)
        n->visit(n->ctx, m->descriptors[i].role, &m->descriptors[i].digest);
    if (m->has_subject)
        n->visit(n->ctx, RS_ROLE_SUBJECT, &m->subject.digest);
}

static rs_rc visit_leniently(struct needs *n, rs_str bytes, struct rs_err *err)
{
    RS_AUTO(rs_json_free) json_t *root = NULL;
    const char *key;
    json_t *value;
    RS_TRY(load(bytes, &root, err));
    json_object_foreach(root, key, value) RS_TRY(visit_member(n, key, value));
    if (!n->kind_known)
        return rs_err_set(err, RS_E_INVALID,
                          "it has neither a mediaType nor config, layers, manifests, blobs or fsLayers: what it needs "
                          "is unknown");
    return RS_OK;
}

rs_rc rs_manifest_needs(rs_str bytes, struct rs_arena *arena, rs_manifest_need_visit *visit, void *ctx,
                        struct rs_err *err)
{
    struct needs n = {.visit = visit, .ctx = ctx, .err = err};
    struct rs_manifest m;
    if (rs_manifest_parse(bytes, (rs_str){NULL, 0}, arena, &m, NULL) != RS_OK || m.kind == RS_MANIFEST_SCHEMA1)
        return visit_leniently(&n, bytes, err);
    visit_parsed(&n, &m);
    return RS_OK;
}
