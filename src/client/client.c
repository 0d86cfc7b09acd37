/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <curl/curl.h>

#include "base/mem.h"
#include "client/pool.h"

#define DISCARD_MAX (64 * 1024) /* of a body that nobody wants: reading it to its end keeps the connection */
#define ORIGIN_MAX 512

/* A request under way. */
struct call {
    const struct rs_client_request *request;
    CURL *easy;
    struct curl_slist *headers;
    struct rs_buf body;
    uint64_t discarded;
    char why[CURL_ERROR_SIZE];
};

static void call_release(struct call *call)
{
    curl_slist_free_all(call->headers);
    rs_buf_release(&call->body);
}

/* --- addresses --- */

static void free_part(char **part)
{
    curl_free(*part);
}

static void free_url(CURLU **url)
{
    curl_url_cleanup(*url);
}

bool rs_client_origin(const char *url, struct rs_buf *out)
{
    RS_AUTO(free_url) CURLU *parsed = curl_url();
    RS_AUTO(free_part) char *scheme = NULL;
    RS_AUTO(free_part) char *host = NULL;
    RS_AUTO(free_part) char *port = NULL;

    if (parsed == NULL || curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        return false;
    if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        return false;
    rs_buf_printf(out, "%s://%s:%s", scheme, host, port);
    return true;
}

/* --- what libcurl calls --- */

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct call *call = ctx;
    size_t len = size * count;

    if (call->request->max_body > 0) {
        rs_buf_append(&call->body, data, len);
        return call->body.overflow ? CURL_WRITEFUNC_ERROR : len;
    }
    call->discarded += len;
    return call->discarded > DISCARD_MAX ? CURL_WRITEFUNC_ERROR : len;
}

static int on_progress(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    const struct call *call = ctx;

    (void)total, (void)now, (void)up_total, (void)up_now;
    return atomic_load_explicit(call->request->cancel, memory_order_relaxed) ? 1 : 0;
}

/* --- the request --- */

static bool is_printable(const char *z)
{
    for (; *z != '\0'; z++)
        if (((unsigned char)*z < ' ' && *z != '\t') || *z == 0x7f)
            return false;
    return true;
}

static bool is_word(const char *z)
{
    static const char others[] = "()<>@,;:\\\"/[]?={} \t";
    const char *p = z;

    while (*p > ' ' && *p < 0x7f && strchr(others, *p) == NULL)
        p++;
    return p != z && *p == '\0';
}

static rs_rc add_header(struct call *call, const struct rs_client_header *header, struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf line;

    rs_buf_init(&line, 64 * 1024);
    if (!is_word(header->name) || !is_printable(header->value))
        return rs_err_set(err, RS_E_INVALID, "a header is malformed (its name, or a control character in its value)");
    /* libcurl's form of a header without a value ends in a semicolon. */
    if (header->value[0] == '\0')
        rs_buf_printf(&line, "%s;", header->name);
    else
        rs_buf_printf(&line, "%s: %s", header->name, header->value);
    if (line.overflow)
        return rs_err_set(err, RS_E_INVALID, "the header %.64s is too long", header->name);
    struct curl_slist *more = curl_slist_append(call->headers, rs_buf_z(&line));
    if (more == NULL)
        return rs_err_set(err, RS_E_INTERNAL, "no memory for a header");
    call->headers = more;
    return RS_OK;
}

static rs_rc add_headers(struct call *call, struct rs_err *err)
{
    /* Waiting for "100 Continue" costs a second with servers that know nothing of it. */
    call->headers = curl_slist_append(NULL, "Expect:");
    for (size_t i = 0; i < call->request->header_count; i++)
        RS_TRY(add_header(call, &call->request->headers[i], err));
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return RS_OK;
}

static rs_rc set_method(struct call *call, struct rs_err *err)
{
    const struct rs_client_request *r = call->request;
    const char *method = r->method != NULL ? r->method : "GET";

    if (!is_word(method))
        return rs_err_set(err, RS_E_INVALID, "the method is malformed");
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
    if (r->body.len > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, r->body.len > 0 ? r->body.ptr : "");
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
    }
    /* Left alone, POST may become GET on a redirect. */
    curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
    return RS_OK;
}

static void set_redirects(struct call *call)
{
    bool tls = strncasecmp(call->request->url, "https:", 6) == 0;

    curl_easy_setopt(call->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(call->easy, CURLOPT_FOLLOWLOCATION, call->request->max_redirects > 0 ? 1L : 0L);
    curl_easy_setopt(call->easy, CURLOPT_MAXREDIRS, (long)call->request->max_redirects);
    curl_easy_setopt(call->easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL);
    curl_easy_setopt(call->easy, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
}

static void set_limits(struct call *call)
{
    const struct rs_client_request *r = call->request;

    curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(call->easy, CURLOPT_QUICK_EXIT, 1L); /* does not wait for a name server beyond these limits */
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(r->connect_ms > 0 ? r->connect_ms : r->timeout_ms));
    if (r->cancel == NULL)
        return;
    curl_easy_setopt(call->easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(call->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(call->easy, CURLOPT_XFERINFODATA, call);
}

static rs_rc set_up(struct call *call, struct rs_err *err)
{
    curl_easy_setopt(call->easy, CURLOPT_URL, call->request->url);
    curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->why);
    curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "roadstead/" RS_VERSION);
    curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(call->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    set_limits(call);
    set_redirects(call);
    RS_TRY(set_method(call, err));
    return add_headers(call, err);
}

/* --- the answer --- */

/* The texts of libcurl name hosts, ports and addresses, but no user and no password. */
static rs_rc failed(const struct call *call, CURLcode code, struct rs_err *err)
{
    const char *why = call->why[0] != '\0' ? call->why : curl_easy_strerror(code);

    if (code == CURLE_ABORTED_BY_CALLBACK)
        return rs_err_set(err, RS_E_UNAVAILABLE, "given up, for the program stops");
    if (code == CURLE_WRITE_ERROR && call->body.overflow)
        return rs_err_set(err, RS_E_TOO_BIG, "the answer is longer than %zu bytes", call->request->max_body);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return rs_err_set(err, RS_E_REMOTE_TIMEOUT, "no answer in time: %s", why);
    long errnum = 0;
    if (code == CURLE_COULDNT_CONNECT)
        curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &errnum);
    if (errnum != 0)
        return rs_err_set(err, RS_E_REMOTE, "%s (%s)", why, strerrordesc_np((int)errnum));
    return rs_err_set(err, RS_E_REMOTE, "%s", why);
}

static rs_rc perform(struct call *call, struct rs_client_response *out, struct rs_err *err)
{
    long status = 0;
    CURLcode code = curl_easy_perform(call->easy);

    /* A body that nobody wants was cut off: the status is known. */
    if (code == CURLE_WRITE_ERROR && call->request->max_body == 0)
        code = CURLE_OK;
    if (code != CURLE_OK)
        return failed(call, code, err);
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    out->status = (int)status;
    out->body = call->body;
    rs_buf_init(&call->body, 0);
    return RS_OK;
}

static rs_rc do_at(const struct rs_client_request *request, const char *origin, struct rs_client_response *out,
                   struct rs_err *err)
{
    RS_AUTO(call_release) struct call call = {.request = request};

    rs_buf_init(&call.body, request->max_body);
    call.easy = client_pool_take(origin);
    if (call.easy == NULL)
        return rs_err_set(err, RS_E_INTERNAL, "libcurl has no memory for a handle");
    rs_rc rc = set_up(&call, err);
    if (rc == RS_OK)
        rc = perform(&call, out, err);
    client_pool_give(call.easy, origin);
    return rc;
}

rs_rc rs_client_do(const struct rs_client_request *request, struct rs_client_response *out, struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf origin;

    rs_buf_init(&origin, ORIGIN_MAX);
    RS_ASSERT(request->url != NULL);
    client_pool_ready();
    if (!rs_client_origin(request->url, &origin) || origin.overflow)
        return rs_err_set(err, RS_E_INVALID, "the address is none that begins with http:// or https:// and has a host");
    if (do_at(request, rs_buf_z(&origin), out, err) != RS_OK)
        return rs_err_wrap(err, "%s", rs_buf_z(&origin));
    return RS_OK;
}

void rs_client_response_release(struct rs_client_response *response)
{
    rs_buf_release(&response->body);
}
