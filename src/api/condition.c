/* SPDX-License-Identifier: Apache-2.0 */
/*
 * If-Match and If-None-Match of a push (RFC 9110 13.1): a tag as a compare-and-swap. An entity tag is the digest that
 * the tag points to. Ours alone: registry:2 does not look at them.
 */
#include "api/api_priv.h"

void rs_condition_read(const struct rs_request *req, struct rs_condition *out)
{
    *out = (struct rs_condition){0};
    out->has_match = rs_request_list(req, RS_STR("If-Match"), &out->match);
    out->has_none_match = rs_request_list(req, RS_STR("If-None-Match"), &out->none_match);
}

bool rs_condition_given(const struct rs_condition *condition)
{
    return condition->has_match || condition->has_none_match;
}

bool rs_condition_holds(void *ctx, const struct rs_digest *held)
{
    struct rs_condition *c = ctx;

    c->exists = held != NULL;
    if (held != NULL)
        c->held = *held;
    if (c->has_match && (held == NULL || !rs_etag_list_has(c->match, rs_digest_str(held))))
        return false;
    return !c->has_none_match || held == NULL || !rs_etag_list_has(c->none_match, rs_digest_str(held));
}

/* Docker-Content-Digest and Etag tell a program what the text tells people: with what it has to try again. */
rs_rc rs_condition_failed(struct rs_request *req, const struct rs_condition *condition, rs_str reference,
                          struct rs_err *err)
{
    reference = rs_str_sub(reference, 0, RS_DIGEST_TEXT_MAX);
    if (!condition->exists)
        return rs_err_set(err, RS_E_PRECONDITION, RS_STR_FMT " does not exist", RS_STR_ARG(reference));
    rs_api_digest_headers(req, &condition->held, true);
    return rs_err_set(err, RS_E_PRECONDITION, RS_STR_FMT " is %s now", RS_STR_ARG(reference), condition->held.text);
}
