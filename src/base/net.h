/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and networks of the internet protocols. Pure functions; any thread. */
#pragma once

#include "base/cc.h"
#include "base/str.h"

/* IPv6, or IPv4 as IPv6 writes it (::ffff:0:0/96): the two forms of an IPv4 address are equal. */
struct rs_address {
    uint8_t bytes[16];
};

/* All addresses with the same first bits. */
struct rs_network {
    struct rs_address address;
    unsigned bits; /* of 128 */
};

/* "192.0.2.1", "2001:db8::1"; no brackets, no zone, no port. */
bool rs_address_parse(rs_str s, struct rs_address *out);
bool rs_address_is_v4(const struct rs_address *a);
#define RS_ADDRESS_SIZE 46
void rs_address_format(const struct rs_address *a, char out[RS_ADDRESS_SIZE]);

/* An address, or one with the length of a prefix: "10.0.0.0/8". NULL, or what is wrong with it: bits that stand behind
 * the prefix as well, for then one of the two is a slip. */
const char *rs_network_parse(rs_str s, struct rs_network *out);
/* A network of IPv6 holds no address of IPv4, also not ::/0. */
bool rs_network_holds(const struct rs_network *network, const struct rs_address *a);
