/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to http: for whom a proxy speaks. A proxy that the operator trusts tells the address of its client in
 * X-Forwarded-For or in Forwarded (RFC 7239); anybody else may write there what he likes, and is not believed.
 */
#pragma once

#include "base/err.h"
#include "base/net.h"
#include "http/request.h"

struct rs_proxies {
    struct rs_network *networks;
    size_t count;
    bool unix_sockets; /* whoever comes by a unix socket is one */
};

/* texts: addresses, networks, and the word "unix". RS_E_CONFIG. */
rs_rc rs_proxies_init(struct rs_proxies *proxies, const char *const *texts, size_t count, struct rs_err *err);
void rs_proxies_release(struct rs_proxies *proxies);
/* peer NULL: it came by a unix socket. */
bool rs_proxies_trust(const struct rs_proxies *proxies, const struct rs_address *peer);

/* The client of a request that came from a trusted proxy: of the chain that the proxies wrote, the last one who is none
 * of them; the first one if all are. Where both fields stand they must agree, since a proxy that writes the one may let
 * a client's other pass. False: nothing is told, or nothing that can be understood. */
bool rs_forwarded_client(const struct rs_proxies *proxies, const struct rs_request *req, struct rs_address *out);
