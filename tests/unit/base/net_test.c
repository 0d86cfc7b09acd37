/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/net.h"

static struct rs_address address(const char *text)
{
    struct rs_address a;
    assert_true(rs_address_parse(rs_str_c(text), &a));
    return a;
}

static void addresses_are_read_and_written(void **state)
{
    static const char *const same[] = {"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1",
                                       "::",        "::1",     "fe80::1:2"};
    static const char *const other[][2] = {
        {"::ffff:192.0.2.1", "192.0.2.1"}, {"2001:DB8:0:0::0:1", "2001:db8::1"}, {"::ffff:0:0", "0.0.0.0"}};
    static const char *const bad[] = {"",        "1",        "1.2.3",      "1.2.3.4.5", "1.2.3.256", "01.2.3.4",
                                      "[::1]",   "::1%eth0", "1.2.3.4:80", " 1.2.3.4",  "1.2.3.4 ",  "localhost",
                                      "1:2:3:4", "::1::",    "unknown",    "1.2.3.4/8", "0x7f.0.0.1"};
    char text[RS_ADDRESS_SIZE];
    (void)state;
    for (size_t i = 0; i < RS_COUNT(same); i++) {
        struct rs_address a = address(same[i]);
        rs_address_format(&a, text);
        assert_string_equal(text, same[i]);
    }
    for (size_t i = 0; i < RS_COUNT(other); i++) {
        struct rs_address a = address(other[i][0]);
        rs_address_format(&a, text);
        assert_string_equal(text, other[i][1]);
    }
    for (size_t i = 0; i < RS_COUNT(bad); i++) {
        struct rs_address a;
        if (rs_address_parse(rs_str_c(bad[i]), &a))
            fail_msg("\"%s\" was taken for an address", bad[i]);
    }
    assert_false(rs_address_parse((rs_str){"1.2.3.4\0", 8}, &(struct rs_address){0}));
}

static void networks_hold_their_addresses(void **state)
{
    static const struct {
        const char *network, *address;
        bool holds;
    } cases[] = {
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"192.0.2.7/32", "192.0.2.7", true},
        {"172.16.0.0/12", "172.31.255.255", true},
        {"172.16.0.0/12", "172.32.0.0", false},
        {"0.0.0.0/0", "203.0.113.9", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "192.0.2.1", false},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"::1", "::1", true},
        {"::1", "127.0.0.1", false},
        {"fe80::/10", "febf::1", true},
        {"fe80::/10", "fec0::1", false},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.128/25", "192.0.2.128", true},
    };
    (void)state;
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        struct rs_network network;
        struct rs_address a = address(cases[i].address);
        assert_null(rs_network_parse(rs_str_c(cases[i].network), &network));
        if (rs_network_holds(&network, &a) != cases[i].holds)
            fail_msg("%s and %s", cases[i].network, cases[i].address);
    }
}

static void slips_in_networks_are_told(void **state)
{
    static const char *const bad[][2] = {
        {"10.0.0.1/8", "behind its prefix"},
        {"10.0.0.0/33", "0 to 32"},
        {"::/129", "0 to 128"},
        {"2001:db8::1/32", "behind its"},
        {"10.0.0.0/", "0 to 32"},
        {"10.0.0.0/-1", "0 to 32"},
        {"10.0.0.0/255.0.0.0", "0 to 32"},
        {"10.0.0/8", "no address"},
        {"", "no address"},
        {"/8", "no address"},
        {"example.org", "no addr"},
        {"10.0.0.0/8/8", "0 to 32"},
    };
    (void)state;
    for (size_t i = 0; i < RS_COUNT(bad); i++) {
        struct rs_network network;
        const char *wrong = rs_network_parse(rs_str_c(bad[i][0]), &network);
        if (wrong == NULL || strstr(wrong, bad[i][1]) == NULL)
            fail_msg("%s: %s", bad[i][0], wrong != NULL ? wrong : "was accepted");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(networks_hold_their_addresses),
        cmocka_unit_test(slips_in_networks_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
