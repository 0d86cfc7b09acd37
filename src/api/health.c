/* SPDX-License-Identifier: Apache-2.0 */
/* "/healthz": should requests come here? And what all others get while they should not. */
#include "health/health.h"

#include "api/api_priv.h"

#define RETRY_AFTER_S "10" /* as often as checks run by default */

static bool tells_of_it(const struct rs_request *req)
{
    return req->route->handler == rs_api_health;
}

rs_rc rs_api_healthy(const struct rs_api *api, struct rs_request *req, struct rs_err *err)
{
    if (rs_health_ok(api->health) || tells_of_it(req))
        return RS_OK;
    rs_reply_header(req, "Retry-After", RS_STR(RETRY_AFTER_S));
    return rs_err_set(err, RS_E_UNAVAILABLE, "a health check has failed; /debug/health of the debug server names it");
}

/* Anybody may ask: what fails is told to operators alone, by the log and the debug server. */
rs_rc rs_api_health(struct rs_request *req, void *ctx, struct rs_err *err)
{
    const struct rs_api *api = ctx;
    bool stopping = atomic_load(&api->stopping), ok = rs_health_ok(api->health);

    (void)err;
    req->reply.status = ok && !stopping ? 200 : 503;
    rs_reply_header_c(req, "Cache-Control", "no-store");
    rs_reply_text(req, "application/json; charset=utf-8",
                  stopping ? RS_STR("{\"status\":\"stopping\"}\n")
                  : ok     ? RS_STR("{\"status\":\"ok\"}\n")
                           : RS_STR("{\"status\":\"failing\"}\n"));
    return RS_OK;
}

void rs_api_attach_health(struct rs_api *api, struct rs_health *health)
{
    api->health = health;
}

void rs_api_stopping(struct rs_api *api)
{
    atomic_store(&api->stopping, true);
}
