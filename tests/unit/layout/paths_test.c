/* SPDX-License-Identifier: Apache-2.0 */
#include "../registry/fixture.h"

#include "layout/paths.h"

#define HEX "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
#define REPO "/docker/registry/v2/repositories/lib/app"
#define UUID "0b3a1c2d-0000-4000-8000-0123456789ab"

static void test_texts(void **state)
{
    (void)state;
    struct rs_path p;
    struct rs_digest d = digest_of("foo");
    rs_str repo = RS_STR("lib/app"), uuid = RS_STR(UUID);
    assert_string_equal(rs_path_blob(&p, &d), "/docker/registry/v2/blobs/sha256/2c/" HEX "/data");
    assert_int_equal(p.len, strlen(p.z));
    assert_string_equal(rs_path_repository(&p, repo), REPO);
    assert_string_equal(rs_path_repository(&p, RS_STR("")), "/docker/registry/v2/repositories");
    assert_string_equal(rs_path_layers(&p, repo), REPO "/_layers");
    assert_string_equal(rs_path_layer_link(&p, repo, &d), REPO "/_layers/sha256/" HEX "/link");
    assert_string_equal(rs_path_manifests(&p, repo), REPO "/_manifests");
    assert_string_equal(rs_path_revisions(&p, repo, RS_SHA512), REPO "/_manifests/revisions/sha512");
    assert_string_equal(rs_path_referrers(&p, repo, RS_SHA256), REPO "/_roadstead/referrers/sha256");
    assert_string_equal(rs_path_pulled_at(&p, repo, &d), REPO "/_roadstead/pulled/sha256/" HEX);
    assert_string_equal(rs_path_pulled_since(&p, repo), REPO "/_roadstead/pulled/since");
    assert_string_equal(rs_path_revision(&p, repo, &d), REPO "/_manifests/revisions/sha256/" HEX);
    assert_string_equal(rs_path_revision_link(&p, repo, &d), REPO "/_manifests/revisions/sha256/" HEX "/link");
    assert_string_equal(rs_path_tags(&p, repo), REPO "/_manifests/tags");
    assert_string_equal(rs_path_tag_current(&p, repo, RS_STR("v1")), REPO "/_manifests/tags/v1/current/link");
    assert_string_equal(rs_path_tag_index(&p, repo, RS_STR("v1"), &d),
                        REPO "/_manifests/tags/v1/index/sha256/" HEX "/link");
    assert_string_equal(rs_path_upload(&p, repo, uuid), REPO "/_uploads/" UUID);
    assert_string_equal(rs_path_upload_data(&p, repo, uuid), REPO "/_uploads/" UUID "/data");
    assert_string_equal(rs_path_upload_startedat(&p, repo, uuid), REPO "/_uploads/" UUID "/startedat");
    assert_string_equal(rs_path_all_hashstates(&p, repo, uuid), REPO "/_uploads/" UUID "/hashstates");
    assert_string_equal(rs_path_hashstates(&p, repo, uuid, RS_SHA512), REPO "/_uploads/" UUID "/hashstates/sha512");
    assert_string_equal(rs_path_hashstate(&p, repo, uuid, RS_SHA256, UINT64_MAX),
                        REPO "/_uploads/" UUID "/hashstates/sha256/18446744073709551615");
}

static void test_sha512(void **state)
{
    (void)state;
    struct rs_path p;
    struct rs_digest d;
    rs_digest_of(RS_SHA512, "foo", 3, &d);
    assert_memory_equal(rs_path_blob(&p, &d), "/docker/registry/v2/blobs/sha512/f7/f7fbba6e", 43);
    assert_int_equal(p.len, strlen("/docker/registry/v2/blobs/sha512/f7/") + 128 + strlen("/data"));
}

static void test_longest_fits(void **state)
{
    (void)state;
    struct rs_path p;
    struct rs_digest d;
    char name[RS_NAME_MAX], tag[RS_TAG_MAX];
    memset(name, 'n', sizeof name);
    memset(tag, 't', sizeof tag);
    rs_digest_of(RS_SHA512, "foo", 3, &d);
    rs_path_tag_index(&p, (rs_str){name, sizeof name}, (rs_str){tag, sizeof tag}, &d);
    assert_int_equal(p.len, 33 + 255 + 17 + 128 + 14 + 128 + 5);
    rs_path_hashstate(&p, (rs_str){name, sizeof name}, RS_STR(UUID), RS_SHA256, UINT64_MAX);
    assert_int_equal(p.z[p.len], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_sha512),
        cmocka_unit_test(test_longest_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
