/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/mem.h"

#define HEX_A "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" /* of "a" */

static rs_rc stat_blob(struct fixture *f, const char *repository, const struct rs_digest *digest, uint64_t *size)
{
    return rs_blob_stat(f->registry, rs_str_c(repository), digest, size, &f->err);
}

static rs_rc mount(struct fixture *f, const char *to, const char *from, const struct rs_digest *digest)
{
    return rs_blob_mount(f->registry, rs_str_c(to), rs_str_c(from), digest, &f->err);
}

static void test_needs_link_and_data(void **state)
{
    struct fixture *f = *state;
    struct rs_digest a = digest_of("a");
    struct rs_source source = {0};
    uint64_t size = 7;
    assert_rc(f, RS_E_BLOB_UNKNOWN, stat_blob(f, "r", &a, &size));
    fixture_write_c(f, "blobs/sha256/ca/" HEX_A "/data", "a");
    assert_rc(f, RS_E_BLOB_UNKNOWN, stat_blob(f, "r", &a, &size)); /* is another repository's */
    assert_rc(f, RS_E_BLOB_UNKNOWN, rs_blob_open(f->registry, RS_STR("r"), &a, &source, &f->err));
    fixture_write_c(f, "repositories/r/_layers/sha256/" HEX_A "/link", "sha256:" HEX_A);
    assert_ok(f, stat_blob(f, "r", &a, &size));
    assert_int_equal(size, 1);
    RS_AUTO(rs_free_ptr) char *text = blob_text(f, "r", &a);
    assert_string_equal(text, "a");
    fixture_remove(f, "blobs/sha256/ca/" HEX_A "/data");
    assert_rc(f, RS_E_BLOB_UNKNOWN, stat_blob(f, "r", &a, &size));
    assert_rc(f, RS_E_BLOB_UNKNOWN, rs_blob_open(f->registry, RS_STR("r"), &a, &source, &f->err));
}

static void test_alias_of_registry2(void **state)
{
    struct fixture *f = *state;
    struct rs_digest alias;
    char path[512];
    uint64_t size;
    rs_digest_of(RS_SHA512, "a", 1, &alias);
    push_text(f, "r", "a");
    assert_rc(f, RS_E_BLOB_UNKNOWN, stat_blob(f, "r", &alias, &size));
    snprintf(path, sizeof path, "repositories/r/_layers/sha512/%s/link", rs_digest_hex(&alias));
    fixture_write_c(f, path, "sha256:" HEX_A);
    assert_ok(f, stat_blob(f, "r", &alias, &size));
    RS_AUTO(rs_free_ptr) char *text = blob_text(f, "r", &alias);
    assert_string_equal(text, "a");
    assert_ok(f, mount(f, "to", "r", &alias));
    assert_ok(f, stat_blob(f, "to", &alias, &size));
}

static void test_link_to_another_blob(void **state)
{
    struct fixture *f = *state;
    struct rs_digest a = digest_of("a");
    struct rs_digest b = push_text(f, "r", "b");
    char text[256];
    uint64_t size;
    snprintf(text, sizeof text, "%s\n", b.text);
    fixture_write_c(f, "repositories/r/_layers/sha256/" HEX_A "/link", text);
    assert_rc(f, RS_E_CORRUPT, stat_blob(f, "r", &a, &size));
}

static void test_mount(void **state)
{
    struct fixture *f = *state;
    struct rs_digest a = digest_of("a");
    uint64_t size;
    assert_rc(f, RS_E_BLOB_UNKNOWN, mount(f, "to", "from", &a));
    assert_false(fixture_exists(f, "repositories/to"));
    push_text(f, "from", "a");
    rs_storage_faulty_clear(f->storage);
    assert_ok(f, mount(f, "to/there", "from", &a));
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_SYNC), 1);
    RS_AUTO(rs_free_ptr) char *link = fixture_read(f, "repositories/to/there/_layers/sha256/" HEX_A "/link");
    assert_string_equal(link, "sha256:" HEX_A);
    assert_ok(f, stat_blob(f, "to/there", &a, &size));
    assert_ok(f, mount(f, "to/there", "from", &a)); /* again */
    fixture_remove(f, "blobs/sha256/ca/" HEX_A "/data");
    assert_rc(f, RS_E_BLOB_UNKNOWN, mount(f, "third", "from", &a));
    assert_false(fixture_exists(f, "repositories/third"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_needs_link_and_data),
        TEST(test_alias_of_registry2),
        TEST(test_link_to_another_blob),
        TEST(test_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
