/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content negotiation of manifests, as far as clients of registry:2 may depend on it; only by tag: whoever names a
 * digest wants those bytes and no others.
 *
 * - Docker's schema 2 is sent whatever Accept says (registry:2 would make a schema 1 of it, which nobody reads any
 * more).
 * - A Docker list is sent to who takes it. Who does not, but takes Docker's manifest, gets the one for linux/amd64.
 * - OCI's types are sent to who takes them. To others they do not exist (404), so that they ask for another type.
 *
 * Wildcards take everything, and so does a request without Accept (registry:2 reads both as "nothing but schema 1").
 */
#include "api/api_priv.h"
#include "registry/manifest.h"

enum match { MATCH_NONE, MATCH_ALL, MATCH_APPLICATION, MATCH_EXACT };

/* A weight of zero (RFC 9110 12.4.2): "q=0", "q=0.0". */
static bool is_refused(rs_str parameters)
{
    rs_str parameter, name, value;

    while (parameters.len > 0) {
        rs_str_cut(parameters, ';', &parameter, &parameters);
        rs_str_cut(parameter, '=', &name, &value);
        if (!rs_str_eq_nocase(rs_str_trim(name), RS_STR("q")))
            continue;
        value = rs_str_trim(value);
        for (size_t i = 0; i < value.len; i++)
            if (value.ptr[i] != '0' && value.ptr[i] != '.')
                return false;
        return value.len > 0;
    }
    return false;
}

static enum match match_range(rs_str range, rs_str media_type)
{
    if (rs_str_eq_nocase(range, media_type))
        return MATCH_EXACT;
    if (rs_str_eq_nocase(range, RS_STR("application/*")))
        return MATCH_APPLICATION;
    return rs_str_eq(range, RS_STR("*/*")) ? MATCH_ALL : MATCH_NONE;
}

/* The most exact range decides (RFC 9110 12.5.1); of two alike the one that takes it. */
static void match_field(rs_str field, rs_str media_type, enum match *best, bool *taken)
{
    rs_str item, range, parameters;

    while (field.len > 0) {
        rs_str_cut(field, ',', &item, &field);
        rs_str_cut(item, ';', &range, &parameters);
        enum match match = match_range(rs_str_trim(range), media_type);
        bool takes = match != MATCH_NONE && !is_refused(parameters);
        if (match > *best || (match == *best && takes))
            *taken = takes;
        *best = RS_MAX(match, *best);
    }
}

bool rs_accepts(const struct rs_request *req, rs_str media_type)
{
    enum match best = MATCH_NONE;
    bool taken = false, given = false;

    for (size_t i = 0; i < req->header_count; i++) {
        if (req->headers[i].name.len != 6 || !rs_str_eq_nocase(req->headers[i].name, RS_STR("Accept")))
            continue;
        given = given || req->headers[i].value.len > 0;
        match_field(req->headers[i].value, media_type, &best, &taken);
    }
    return taken || !given;
}

static rs_rc choose_oci(struct rs_request *req, const struct rs_manifest_doc *doc, struct rs_err *err)
{
    if (rs_accepts(req, doc->media_type))
        return RS_OK;
    rs_reply_header_c(req, "Vary", "Accept");
    return rs_err_set(err, RS_E_MANIFEST_UNKNOWN,
                      "the tag leads to " RS_STR_FMT
                      " (%s), which Accept does not name: add the type, or ask by digest",
                      RS_STR_ARG(doc->media_type), doc->digest.text);
}

static rs_rc choose_of_list(const struct rs_api *api, struct rs_request *req, const struct rs_manifest_doc **doc,
                            struct rs_err *err)
{
    const struct rs_manifest_doc *child = NULL;

    rs_reply_header_c(req, "Vary", "Accept");
    if (rs_accepts(req, (*doc)->media_type) || !rs_accepts(req, RS_STR(RS_MEDIA_DOCKER_MANIFEST)))
        return RS_OK;
    rs_request_block(req);
    rs_rc rc =
        rs_manifest_get_platform(api->registry, req->captures[0], *doc, RS_STR("linux"), RS_STR("amd64"), &child, err);
    if (rc == RS_E_MANIFEST_INVALID)
        return RS_OK; /* of an older registry, and not understood: as it is */
    RS_TRY(rc);
    rs_manifest_doc_unref(doc);
    *doc = child;
    return RS_OK;
}

rs_rc rs_accept_choose(const struct rs_api *api, struct rs_request *req, const struct rs_manifest_doc **doc,
                       struct rs_err *err)
{
    rs_str type = (*doc)->media_type;

    if (rs_str_eq(type, RS_STR(RS_MEDIA_OCI_MANIFEST)) || rs_str_eq(type, RS_STR(RS_MEDIA_OCI_INDEX)))
        return choose_oci(req, *doc, err);
    if (rs_str_eq(type, RS_STR(RS_MEDIA_DOCKER_LIST)))
        return choose_of_list(api, req, doc, err);
    return RS_OK;
}
