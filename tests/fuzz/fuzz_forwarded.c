/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the client is. The input's first line is an X-Forwarded-For, the rest a Forwarded. Whatever stands there: what a
 * trusted proxy appends decides.
 */
#include "http/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const texts[] = {"10.0.0.0/8", "2001:db8::/32", "unix"};

static bool client_of(const struct rs_proxies *proxies, rs_str name, rs_str value, struct rs_address *out)
{
    struct rs_header header = {name, value};
    struct rs_request req = {.headers = &header, .header_count = 1, .arena = rs_arena_new()};
    bool found = rs_forwarded_client(proxies, &req, out);
    rs_arena_free(&req.arena);
    return found;
}

/* With 192.0.2.1 appended by a proxy, the client is that one, or nobody. */
static void append(const struct rs_proxies *proxies, rs_str name, rs_str begun, const char *appended)
{
    struct rs_buf b;
    struct rs_address found, real;
    RS_ASSERT(rs_address_parse(RS_STR("192.0.2.1"), &real));
    rs_buf_init(&b, 1 << 20);
    rs_buf_add(&b, begun);
    rs_buf_add_c(&b, appended);
    if (!b.overflow && client_of(proxies, name, rs_buf_str(&b), &found))
        RS_ASSERT(memcmp(&found, &real, sizeof real) == 0);
    rs_buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rs_proxies proxies;
    struct rs_address found;
    rs_str list, forwarded, all = {(const char *)data, size};
    RS_ASSERT(rs_proxies_init(&proxies, texts, RS_COUNT(texts), NULL) == RS_OK);
    rs_str_cut(all, '\n', &list, &forwarded);
    client_of(&proxies, RS_STR("X-Forwarded-For"), list, &found);
    client_of(&proxies, RS_STR("Forwarded"), forwarded, &found);
    append(&proxies, RS_STR("X-Forwarded-For"), list, ", 192.0.2.1, 10.0.0.1");
    append(&proxies, RS_STR("Forwarded"), forwarded, ", for=192.0.2.1;proto=https, for=10.0.0.1");
    append(&proxies, RS_STR("Forwarded"), forwarded, ", host=\"h\";for=\"192.0.2.1\", for=\"[2001:db8::1]\"");
    rs_proxies_release(&proxies);
    return 0;
}
