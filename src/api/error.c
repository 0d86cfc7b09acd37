/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as the distribution specification has them ("Error codes"). */
#include "api/api_priv.h"
#include "base/log.h"

#define BODY_MAX (8 * RS_ERR_TEXT_MAX)

/* docker, podman and skopeo show the message alone, and who is refused by a rule wants to know by which. */
static rs_str message_of(rs_rc rc, rs_str detail)
{
    return rc == RS_E_DENIED && detail.len > 0 ? detail : rs_str_c(rs_rc_text(rc));
}

void rs_error_json(struct rs_buf *out, rs_rc rc, rs_str detail)
{
    rs_buf_add_c(out, "{\"errors\":[{\"code\":");
    rs_json_quote(out, rs_str_c(rs_rc_code(rc)));
    rs_buf_add_c(out, ",\"message\":");
    rs_json_quote(out, message_of(rc, detail));
    if (detail.len > 0) {
        rs_buf_add_c(out, ",\"detail\":");
        rs_json_quote(out, detail);
    }
    rs_buf_add_c(out, "}]}\n");
}

/* What went wrong inside concerns the operator: the client gets the request's id to name, the log gets the text. */
static rs_str client_detail(struct rs_request *req, rs_rc rc, rs_str text)
{
    if (rs_rc_status(rc) < 500 || rc == RS_E_NOT_IMPLEMENTED || rc == RS_E_VERSION)
        return text;
    return rs_arena_printf(req->arena, "the log of the registry says more under the request id " RS_STR_FMT,
                           RS_STR_ARG(req->id));
}

/* Headers that are there stay: Allow, Content-Range, and where an upload stands belong to the error. */
void rs_api_on_error(struct rs_request *req, void *ctx, rs_rc rc, const struct rs_err *err)
{
    struct rs_buf body;
    (void)ctx;

    req->log_error = rs_arena_copy(req->arena, rs_str_c(err->text));
    req->reply.status = rs_rc_status(rc);
    rs_buf_init(&body, BODY_MAX);
    rs_error_json(&body, rc, client_detail(req, rc, req->log_error));
    rs_reply_text(req, "application/json; charset=utf-8", rs_buf_str(&body));
    rs_buf_release(&body);
}
