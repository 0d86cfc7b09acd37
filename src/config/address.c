/* SPDX-License-Identifier: Apache-2.0 */
#include "config/address.h"

#include <sys/un.h>

static bool is_host(rs_str host)
{
    size_t ignored;
    if (host.len >= 2 && host.ptr[0] == '[')
        return host.ptr[host.len - 1] == ']';
    return !rs_str_find(host, ':', &ignored) && !rs_str_find(host, '/', &ignored) && !rs_str_find(host, ' ', &ignored);
}

const char *config_address_check(enum rs_config_net net, const char *address)
{
    rs_str text = rs_str_c(address);
    size_t colon;
    uint64_t port;
    if (net == RS_CONFIG_UNIX)
        return text.len == 0                                                ? "needs the path of a socket"
               : text.len >= sizeof(((struct sockaddr_un *)NULL)->sun_path) ? "the path of a socket may have 107 bytes"
                                                                            : NULL;
    if (!rs_str_rfind(text, ':', &colon) || !rs_str_u64(rs_str_from(text, colon + 1), 65535, &port))
        return "needs host:port, :port or [IPv6]:port, with a port from 0 to 65535";
    if (!is_host(rs_str_sub(text, 0, colon)))
        return "the host is none (IPv6 addresses stand in brackets)";
    return NULL;
}

const char *config_address_parse(const char *text, struct rs_config_listen *out)
{
    rs_str s = rs_str_c(text);
    if (rs_str_starts(s, RS_STR("tcp://")))
        *out = (struct rs_config_listen){"tcp", text + 6};
    else if (rs_str_starts(s, RS_STR("unix://")))
        *out = (struct rs_config_listen){"unix", text + 7};
    else
        return "needs tcp://host:port or unix:///path";
    return config_address_check(out->net[0] == 'u' ? RS_CONFIG_UNIX : RS_CONFIG_TCP, out->address);
}
