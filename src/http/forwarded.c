/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who stands further left in a chain could write there what he liked; who stands right of the last untrusted one is
 * trusted. So a field is read as a whole and strictly: a quote that somebody opened on the left must not swallow what a
 * proxy has appended on the right.
 */
#include "http/forwarded.h"

/* --- the proxies --- */

rs_rc rs_proxies_init(struct rs_proxies *proxies, const char *const *texts, size_t count, struct rs_err *err)
{
    *proxies = (struct rs_proxies){0};
    if (count > 0)
        proxies->networks = rs_calloc(count, sizeof *proxies->networks);
    for (size_t i = 0; i < count; i++) {
        rs_str text = rs_str_c(texts[i]);
        if (rs_str_eq_c(text, "unix")) {
            proxies->unix_sockets = true;
            continue;
        }
        const char *wrong = rs_network_parse(text, &proxies->networks[proxies->count]);
        if (wrong != NULL) {
            rs_proxies_release(proxies);
            return rs_err_set(err, RS_E_CONFIG, "trusted proxy \"%s\" %s", texts[i], wrong);
        }
        proxies->count++;
    }
    return RS_OK;
}

void rs_proxies_release(struct rs_proxies *proxies)
{
    free(proxies->networks);
    *proxies = (struct rs_proxies){0};
}

bool rs_proxies_trust(const struct rs_proxies *proxies, const struct rs_address *peer)
{
    if (peer == NULL)
        return proxies->unix_sockets;
    for (size_t i = 0; i < proxies->count; i++)
        if (rs_network_holds(&proxies->networks[i], peer))
            return true;
    return false;
}

/* --- the chain --- */

/* The client as far as the entries that were read tell: the last untrusted one, or the first of all. */
struct chain {
    const struct rs_proxies *proxies;
    bool has_entry;
    bool is_known; /* false: the client hides its address, or it cannot be understood */
    struct rs_address client;
};

static bool is_port(rs_str s)
{
    uint64_t ignored;
    return s.len <= 5 && rs_str_u64(s, 65535, &ignored);
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". */
static bool parse_node(rs_str s, struct rs_address *out)
{
    rs_str host, port;
    size_t colon;
    if (s.len > 0 && s.ptr[0] == '[') {
        bool closed = rs_str_cut(rs_str_from(s, 1), ']', &host, &port);
        bool ends = port.len == 0 || (port.ptr[0] == ':' && is_port(rs_str_from(port, 1)));
        return closed && ends && rs_str_find(host, ':', &colon) && rs_address_parse(host, out);
    }
    if (rs_address_parse(s, out))
        return true;
    return rs_str_cut(s, ':', &host, &port) && is_port(port) && rs_address_parse(host, out);
}

static void add_entry(struct chain *c, rs_str node)
{
    struct rs_address address;
    bool by_unix = rs_str_eq_c(node, "unix:"); /* as nginx calls a peer on a unix socket */
    bool is_known = !by_unix && parse_node(node, &address);
    bool is_trusted = by_unix ? rs_proxies_trust(c->proxies, NULL) : is_known && rs_proxies_trust(c->proxies, &address);
    bool is_first = !c->has_entry;
    c->has_entry = true;
    if (is_trusted && !is_first)
        return;
    c->is_known = is_known;
    if (is_known)
        c->client = address;
}

/* X-Forwarded-For. */
static void read_list(struct chain *c, rs_str list)
{
    rs_str entry;
    for (bool more = true; more;) {
        more = rs_str_cut(list, ',', &entry, &list);
        add_entry(c, rs_str_trim(entry));
    }
}

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static rs_str take_token(rs_str *s)
{
    size_t n = 0;
    while (n < s->len && is_token_char(s->ptr[n]))
        n++;
    rs_str token = rs_str_sub(*s, 0, n);
    *s = rs_str_from(*s, n);
    return token;
}

/* A value: a token, or a quoted string, in which no address needs a backslash. False: it is neither. */
static bool take_value(rs_str *s, rs_str *out)
{
    if (s->len == 0 || s->ptr[0] != '"') {
        *out = take_token(s);
        return out->len > 0;
    }
    size_t end = 1;
    while (end < s->len && s->ptr[end] != '"')
        end += s->ptr[end] == '\\' ? 2 : 1;
    if (end >= s->len)
        return false;
    *out = rs_str_sub(*s, 1, end - 1);
    *s = rs_str_from(*s, end + 1);
    return true;
}

static void skip_space(rs_str *s)
{
    while (s->len > 0 && (s->ptr[0] == ' ' || s->ptr[0] == '\t'))
        *s = rs_str_from(*s, 1);
}

static bool take_char(rs_str *s, char c)
{
    skip_space(s);
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = rs_str_from(*s, 1);
    skip_space(s);
    return true;
}

/* One element of Forwarded: name=value pairs between semicolons. Without a "for" it tells of no address. */
static bool read_element(struct chain *c, rs_str *s)
{
    rs_str name, value, node = {0};
    bool has_node = false;
    do {
        name = take_token(s);
        if (name.len == 0)
            continue; /* empty pairs are allowed */
        if (s->len == 0 || s->ptr[0] != '=')
            return false;
        *s = rs_str_from(*s, 1);
        if (!take_value(s, &value))
            return false;
        bool is_for = rs_str_eq_nocase(name, RS_STR("for"));
        if (is_for && has_node)
            return false;
        has_node = has_node || is_for;
        node = is_for ? value : node;
    } while (take_char(s, ';'));
    if (has_node)
        add_entry(c, node);
    return true;
}

/* False: not as RFC 7239 has it. */
static bool read_forwarded(struct chain *c, rs_str s)
{
    do {
        skip_space(&s);
        if (!read_element(c, &s))
            return false;
    } while (take_char(&s, ','));
    return s.len == 0;
}

static bool client_of(const struct chain *c, struct rs_address *out)
{
    if (!c->has_entry || !c->is_known)
        return false;
    *out = c->client;
    return true;
}

bool rs_forwarded_client(const struct rs_proxies *proxies, const struct rs_request *req, struct rs_address *out)
{
    struct chain list = {.proxies = proxies}, forwarded = {.proxies = proxies};
    struct rs_address first, second;
    rs_str value;
    bool has_list = rs_request_list(req, RS_STR("X-Forwarded-For"), &value);
    if (has_list)
        read_list(&list, value);
    if (has_list && !client_of(&list, &first))
        return false;
    bool has_forwarded = rs_request_list(req, RS_STR("Forwarded"), &value);
    if (has_forwarded && (!read_forwarded(&forwarded, value) || !client_of(&forwarded, &second)))
        return false;
    if (has_list && has_forwarded && memcmp(&first, &second, sizeof first) != 0)
        return false;
    if (has_list || has_forwarded)
        *out = has_list ? first : second;
    return has_list || has_forwarded;
}
