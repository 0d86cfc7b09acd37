/* SPDX-License-Identifier: Apache-2.0 */
#include "base/net.h"

#include <arpa/inet.h>

#define V4_PREFIX 96 /* bits before an IPv4 address */

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool rs_address_parse(rs_str s, struct rs_address *out)
{
    char text[RS_ADDRESS_SIZE];
    struct rs_address a;
    if (!rs_str_copy_z(s, text, sizeof text))
        return false;
    if (inet_pton(AF_INET6, text, a.bytes) != 1) {
        memcpy(a.bytes, v4_prefix, sizeof v4_prefix);
        if (inet_pton(AF_INET, text, a.bytes + sizeof v4_prefix) != 1)
            return false;
    }
    *out = a;
    return true;
}

bool rs_address_is_v4(const struct rs_address *a)
{
    return memcmp(a->bytes, v4_prefix, sizeof v4_prefix) == 0;
}

void rs_address_format(const struct rs_address *a, char out[RS_ADDRESS_SIZE])
{
    bool v4 = rs_address_is_v4(a);
    const void *bytes = v4 ? a->bytes + sizeof v4_prefix : a->bytes;
    RS_ASSERT(inet_ntop(v4 ? AF_INET : AF_INET6, bytes, out, RS_ADDRESS_SIZE) != NULL);
}

static bool bit(const struct rs_address *a, unsigned index)
{
    return (a->bytes[index / 8] >> (7 - index % 8) & 1) != 0;
}

const char *rs_network_parse(rs_str s, struct rs_network *out)
{
    rs_str address, prefix;
    struct rs_network n;
    uint64_t bits;
    bool has_prefix = rs_str_cut(s, '/', &address, &prefix);
    if (!rs_address_parse(address, &n.address))
        return "is no address such as 192.0.2.1 or 2001:db8::1, and no network such as 10.0.0.0/8";
    /* "::ffff:10.0.0.0/104" counts as IPv6 writes it. */
    size_t colon;
    unsigned before = rs_str_find(address, ':', &colon) ? 0 : V4_PREFIX;
    n.bits = 128;
    if (has_prefix) {
        if (!rs_str_u64(prefix, 128 - before, &bits))
            return before == 0 ? "needs a prefix of 0 to 128 bits behind the slash"
                               : "needs a prefix of 0 to 32 bits behind the slash";
        n.bits = before + (unsigned)bits;
    }
    for (unsigned i = n.bits; i < 128; i++)
        if (bit(&n.address, i))
            return "has bits behind its prefix; either the address or the prefix is a slip";
    *out = n;
    return NULL;
}

bool rs_network_holds(const struct rs_network *network, const struct rs_address *a)
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (network->bits < V4_PREFIX && rs_address_is_v4(a))
        return false;
    if (memcmp(network->address.bytes, a->bytes, whole) != 0)
        return false;
    return rest == 0 || (network->address.bytes[whole] ^ a->bytes[whole]) >> (8 - rest) == 0;
}
