/* SPDX-License-Identifier: Apache-2.0 */
#include "http/head.h"

#include "http/uri.h"

/* Classes of bytes. */
enum { TOKEN = 1, VALUE = 2, TARGET = 4 };

/* VALUE: visible ASCII, space, tab and obs-text; TARGET: visible ASCII without '#'; TOKEN: visible ASCII without the
 * separators of RFC 9110 5.6.2. */
static unsigned byte_class(unsigned char c)
{
    static const char separators[] = "\"(),/:;<=>?@[\\]{}";
    bool visible = c > 0x20 && c < 0x7f;
    unsigned class = 0;
    if (visible || c == '\t' || c == ' ' || c >= 0x80)
        class |= VALUE;
    if (visible && c != '#')
        class |= TARGET;
    if (visible && strchr(separators, c) == NULL)
        class |= TOKEN;
    return class;
}

static uint8_t classes[256];

__attribute__((constructor)) static void fill_classes(void)
{
    for (unsigned c = 0; c < 256; c++)
        classes[c] = (uint8_t)byte_class((unsigned char)c);
}

static bool all_of(rs_str s, unsigned class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(classes[(unsigned char)s.ptr[i]] & class))
            return false;
    return true;
}

bool rs_is_token(rs_str s)
{
    return s.len > 0 && all_of(s, TOKEN);
}

long rs_head_end(const char *bytes, size_t len, size_t *pos)
{
    size_t line = *pos;
    while (line < len) {
        const char *lf = memchr(bytes + line, '\n', len - line);
        if (lf == NULL)
            break;
        size_t end = (size_t)(lf - bytes);
        if (end == line || bytes[end - 1] != '\r')
            return -1;
        if (end == line + 1)
            return (long)(end + 1);
        line = end + 1;
    }
    *pos = line;
    return 0;
}

static enum rs_method method_of(rs_str name)
{
    static const struct {
        const char *name;
        enum rs_method method;
    } known[] = {
        {"GET", RS_METHOD_GET},         {"HEAD", RS_METHOD_HEAD},   {"POST", RS_METHOD_POST},
        {"PUT", RS_METHOD_PUT},         {"PATCH", RS_METHOD_PATCH}, {"DELETE", RS_METHOD_DELETE},
        {"OPTIONS", RS_METHOD_OPTIONS},
    };
    for (size_t i = 0; i < RS_COUNT(known); i++)
        if (rs_str_eq_c(name, known[i].name))
            return known[i].method;
    return RS_METHOD_OTHER;
}

/* HTTP-version (RFC 9112 2.3): exactly "HTTP/" DIGIT "." DIGIT. A later minor version is read as 1.1. */
static rs_rc parse_version(rs_str s, int *out_minor, struct rs_err *err)
{
    bool shape = s.len == 8 && rs_str_starts(s, RS_STR("HTTP/")) && s.ptr[5] >= '0' && s.ptr[5] <= '9' &&
                 s.ptr[6] == '.' && s.ptr[7] >= '0' && s.ptr[7] <= '9';
    if (!shape)
        return rs_err_set(err, RS_E_BAD_REQUEST, "the request line does not end in an HTTP version");
    if (s.ptr[5] != '1')
        return rs_err_set(err, RS_E_VERSION, "this server speaks HTTP/1.1 and HTTP/1.0");
    *out_minor = s.ptr[7] == '0' ? 0 : 1;
    return RS_OK;
}

static rs_rc parse_request_line(rs_str line, struct rs_request *req, struct rs_err *err)
{
    rs_str rest, version;
    if (!rs_str_cut(line, ' ', &req->method_name, &rest) || !rs_str_cut(rest, ' ', &req->target, &version))
        return rs_err_set(err, RS_E_BAD_REQUEST, "the request line is not: method, target, version");
    if (!rs_is_token(req->method_name))
        return rs_err_set(err, RS_E_BAD_REQUEST, "the method is not a token");
    RS_TRY(parse_version(version, &req->minor, err));
    if (req->target.len == 0 || !all_of(req->target, TARGET))
        return rs_err_set(err, RS_E_BAD_REQUEST, "the request target is empty or holds a forbidden character");
    req->method = method_of(req->method_name);
    return rs_uri_parse(req, err);
}

static rs_rc parse_field(rs_str line, struct rs_header *out, struct rs_err *err)
{
    rs_str name, value;
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return rs_err_set(err, RS_E_BAD_REQUEST, "a header field is folded over two lines");
    if (!rs_str_cut(line, ':', &name, &value))
        return rs_err_set(err, RS_E_BAD_REQUEST, "a header field has no colon");
    if (!rs_is_token(name))
        return rs_err_set(err, RS_E_BAD_REQUEST, "a header field's name is not a token (a space before the colon?)");
    if (!all_of(value, VALUE))
        return rs_err_set(err, RS_E_BAD_REQUEST, "the header field " RS_STR_FMT " holds a control character",
                          RS_STR_ARG(rs_str_sub(name, 0, 64)));
    *out = (struct rs_header){.name = name, .value = rs_str_trim(value)};
    return RS_OK;
}

/* One line without its CRLF; rest starts behind it. rs_head_end has seen that each line ends in CRLF. */
static rs_str next_line(rs_str *rest)
{
    const char *lf = memchr(rest->ptr, '\n', rest->len);
    size_t end = (size_t)(lf - rest->ptr);
    rs_str line = rs_str_sub(*rest, 0, end - 1);
    *rest = rs_str_from(*rest, end + 1);
    return line;
}

static rs_rc parse_fields(rs_str rest, struct rs_request *req, struct rs_err *err)
{
    struct rs_header fields[RS_HEADERS_MAX];
    size_t n = 0;
    for (rs_str line = next_line(&rest); line.len > 0; line = next_line(&rest)) {
        if (n == RS_HEADERS_MAX)
            return rs_err_set(err, RS_E_HEAD_TOO_BIG, "more than %d header fields", RS_HEADERS_MAX);
        RS_TRY(parse_field(line, &fields[n], err));
        n++;
    }
    struct rs_header *kept = rs_arena_alloc(req->arena, (n + 1) * sizeof *kept);
    memcpy(kept, fields, n * sizeof *kept);
    req->headers = kept;
    req->header_count = n;
    return RS_OK;
}

/* Host (RFC 9112 3.2): exactly one in HTTP/1.1, at most one in HTTP/1.0. */
static rs_rc take_host(struct rs_request *req, rs_str value, bool *seen, struct rs_err *err)
{
    if (*seen)
        return rs_err_set(err, RS_E_BAD_REQUEST, "two Host fields");
    *seen = true;
    if (!rs_uri_authority_valid(value))
        return rs_err_set(err, RS_E_BAD_REQUEST, "the Host field is not a host and port");
    /* The authority of an absolute target wins (RFC 9112 3.2.2). */
    if (req->host.len == 0)
        req->host = value;
    return RS_OK;
}

/* Content-Length (RFC 9110 8.6). The same value twice is taken once, as that section allows; different ones are not. */
static rs_rc take_length(struct rs_request *req, rs_str value, bool *seen, struct rs_err *err)
{
    rs_str item, rest = value;
    bool more = true;
    while (more) {
        uint64_t length;
        more = rs_str_cut(rest, ',', &item, &rest);
        if (!rs_str_u64(rs_str_trim(item), INT64_MAX, &length))
            return rs_err_set(err, RS_E_BAD_REQUEST, "Content-Length is not a number");
        if (*seen && (int64_t)length != req->content_length)
            return rs_err_set(err, RS_E_BAD_REQUEST, "two Content-Length values that differ");
        *seen = true;
        req->content_length = (int64_t)length;
    }
    return RS_OK;
}

static rs_rc take_coding(rs_str value, bool *chunked, struct rs_err *err)
{
    if (*chunked)
        return rs_err_set(err, RS_E_BAD_REQUEST, "two Transfer-Encoding fields");
    if (!rs_str_eq_nocase(value, RS_STR("chunked")))
        return rs_err_set(err, RS_E_NOT_IMPLEMENTED, "the only Transfer-Encoding understood is chunked");
    *chunked = true;
    return RS_OK;
}

static void take_connection(rs_str value, struct rs_framing *out, bool *close)
{
    rs_str item, rest = value;
    bool more = true;
    while (more) {
        more = rs_str_cut(rest, ',', &item, &rest);
        item = rs_str_trim(item);
        if (rs_str_eq_nocase(item, RS_STR("close")))
            *close = true;
        else if (rs_str_eq_nocase(item, RS_STR("keep-alive")))
            out->keep_alive = true;
    }
}

struct seen {
    bool host, length, chunked, close;
};

static rs_rc take_field(struct rs_request *req, const struct rs_header *field, struct seen *seen,
                        struct rs_framing *out, struct rs_err *err)
{
    switch (field->name.len) {
    case 4:
        if (rs_str_eq_nocase(field->name, RS_STR("Host")))
            return take_host(req, field->value, &seen->host, err);
        break;
    case 6:
        if (rs_str_eq_nocase(field->name, RS_STR("Expect"))) {
            if (!rs_str_eq_nocase(field->value, RS_STR("100-continue")))
                return rs_err_set(err, RS_E_EXPECTATION_FAILED, "the only expectation understood is 100-continue");
            out->expect_continue = true;
        }
        break;
    case 10:
        if (rs_str_eq_nocase(field->name, RS_STR("Connection")))
            take_connection(field->value, out, &seen->close);
        break;
    case 14:
        if (rs_str_eq_nocase(field->name, RS_STR("Content-Length")))
            return take_length(req, field->value, &seen->length, err);
        break;
    case 17:
        if (rs_str_eq_nocase(field->name, RS_STR("Transfer-Encoding")))
            return take_coding(field->value, &seen->chunked, err);
        break;
    default:
        break;
    }
    return RS_OK;
}

/* The rules that decide where this message ends (RFC 9112 6.3): the place where requests are smuggled. */
static rs_rc check_framing(struct rs_request *req, const struct seen *seen, struct rs_err *err)
{
    if (req->minor >= 1 && !seen->host)
        return rs_err_set(err, RS_E_BAD_REQUEST, "the Host field is missing");
    if (seen->chunked && seen->length)
        return rs_err_set(err, RS_E_BAD_REQUEST, "both Content-Length and Transfer-Encoding");
    if (seen->chunked && req->minor == 0)
        return rs_err_set(err, RS_E_BAD_REQUEST, "Transfer-Encoding in an HTTP/1.0 request");
    req->has_body = seen->chunked || seen->length;
    if (seen->chunked)
        req->content_length = -1;
    return RS_OK;
}

rs_rc rs_head_parse(rs_str head, struct rs_request *req, struct rs_framing *out, struct rs_err *err)
{
    struct seen seen = {0};
    rs_str rest = head;
    *out = (struct rs_framing){0};
    RS_TRY(parse_request_line(next_line(&rest), req, err));
    RS_TRY(parse_fields(rest, req, err));
    for (size_t i = 0; i < req->header_count; i++)
        RS_TRY(take_field(req, &req->headers[i], &seen, out, err));
    RS_TRY(check_framing(req, &seen, err));
    out->keep_alive = !seen.close && (req->minor >= 1 || out->keep_alive);
    if (req->minor == 0)
        out->expect_continue = false; /* RFC 9110 10.1.1: not from HTTP/1.0 */
    return RS_OK;
}
