/* SPDX-License-Identifier: Apache-2.0 */
/* What remains when the storage fails: nothing half, and a second try works. */
#include "fixture.h"

#include "base/mem.h"

#define REPO "lib/app"

static void plan(struct fixture *f, const char *text)
{
    rs_storage_faulty_clear(f->storage);
    assert_ok(f, rs_storage_faulty_parse(f->storage, rs_str_c(text), &f->err));
}

static bool has_blob(struct fixture *f, const char *text)
{
    uint64_t size;
    struct rs_digest digest = digest_of(text);
    return rs_blob_stat(f->registry, RS_STR(REPO), &digest, &size, &f->err) == RS_OK;
}

static rs_rc open_upload(struct fixture *f, const char *uuid, struct rs_upload **out)
{
    return rs_upload_open(f->registry, RS_STR(REPO), rs_str_c(uuid), RS_SHA256, out, &f->err);
}

/* The disk is full at some byte; room is made; the same upload goes on from what is there. */
static void test_full_disk_while_writing(void **state)
{
    struct fixture *f = *state;
    static const char *const plans[] = {
        "append:fail-at-byte=0:times=1:error=STORAGE_FULL",
        "append:fail-at-byte=1:times=1:error=STORAGE_FULL",
        "append:fail-at-byte=400000:times=1:error=STORAGE_FULL",
        "append:fail-at-byte=999999:times=1:error=STORAGE_FULL",
    };
    size_t len = 1000000, half = 500000;
    RS_AUTO(rs_free_ptr) char *bytes = rs_malloc(len);
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        char uuid[RS_UUID_SIZE];
        struct rs_upload *u;
        struct rs_digest digest;
        uint64_t size;
        memset(bytes, 'a' + (int)i, len);
        rs_digest_of(RS_SHA256, bytes, len, &digest);
        assert_ok(f, rs_upload_begin(f->registry, RS_STR(REPO), uuid, &f->err));
        assert_ok(f, open_upload(f, uuid, &u));
        plan(f, plans[i]);
        rs_rc rc = rs_upload_write(u, bytes, half, &f->err);
        if (rc == RS_OK)
            rc = rs_upload_write(u, bytes + half, half, &f->err);
        assert_rc(f, RS_E_STORAGE_FULL, rc);
        assert_int_equal(rs_storage_faulty_failures(f->storage), 1);
        rs_storage_faulty_clear(f->storage);
        assert_rc(f, RS_E_IO, rs_upload_write(u, bytes, 1, &f->err)); /* what is there is not known here any more */
        rs_upload_suspend(&u);
        assert_ok(f, open_upload(f, uuid, &u));
        uint64_t at = rs_upload_offset(u);
        assert_true(at <= len);
        assert_ok(f, rs_upload_write(u, bytes + at, len - at, &f->err));
        assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
        assert_ok(f, rs_blob_stat(f->registry, RS_STR(REPO), &digest, &size, &f->err));
        assert_int_equal(size, len);
    }
}

static void test_broken_upload_cannot_be_committed(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    struct rs_digest digest = digest_of("ab");
    assert_ok(f, rs_upload_begin(f->registry, RS_STR(REPO), uuid, &f->err));
    assert_ok(f, open_upload(f, uuid, &u));
    assert_ok(f, rs_upload_write(u, "ab", 2, &f->err));
    plan(f, "append:nth=1");
    assert_rc(f, RS_E_IO, rs_upload_write(u, "cd", 2, &f->err));
    assert_rc(f, RS_E_IO, rs_upload_commit(&u, &digest, &f->err));
    assert_null(u);
    assert_false(has_blob(f, "ab"));
}

/* Each call of a commit fails once. Nothing is visible but where only the last sync was missing; pushing again works.
 */
static void test_commit_fails(void **state)
{
    struct fixture *f = *state;
    static const char *const plans[] = {"publish:nth=1", "put:nth=1", "publish:nth=1:error=STORAGE_FULL",
                                        "put:nth=1:error=STORAGE_FULL", "sync:nth=1"};
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        char text[32], uuid[RS_UUID_SIZE];
        struct rs_upload *u;
        snprintf(text, sizeof text, "blob %zu", i);
        struct rs_digest digest = digest_of(text);
        assert_ok(f, rs_upload_begin(f->registry, RS_STR(REPO), uuid, &f->err));
        assert_ok(f, open_upload(f, uuid, &u));
        assert_ok(f, rs_upload_write(u, text, strlen(text), &f->err));
        plan(f, plans[i]);
        rs_rc rc = rs_upload_commit(&u, &digest, &f->err);
        assert_true(rc == RS_E_IO || rc == RS_E_STORAGE_FULL);
        assert_int_equal(rs_storage_faulty_failures(f->storage), 1);
        assert_null(u);
        if (strncmp(plans[i], "sync", 4) != 0)
            assert_false(has_blob(f, text));
        rs_storage_faulty_clear(f->storage);
        if (open_upload(f, uuid, &u) == RS_OK) /* the failure came before the data moved */
            assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
        else
            push_text(f, REPO, text);
        assert_true(has_blob(f, text));
        assert_true(rs_storage_faulty_calls(f->storage, RS_FAULTY_SYNC) == 1);
    }
}

static void test_begin_and_mount_fail(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    struct rs_digest digest = push_text(f, "from", "blob");
    plan(f, "put:nth=1:error=STORAGE_FULL");
    assert_rc(f, RS_E_STORAGE_FULL, rs_upload_begin(f->registry, RS_STR(REPO), uuid, &f->err));
    plan(f, "append_create:nth=1:error=STORAGE_FULL");
    assert_rc(f, RS_E_STORAGE_FULL, rs_upload_begin(f->registry, RS_STR(REPO), uuid, &f->err));
    RS_AUTO(rs_free_ptr) char *tree = fixture_tree(f);
    assert_null(strstr(tree, "startedat"));
    static const char *const plans[] = {"put:nth=1", "sync:nth=1"};
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        plan(f, plans[i]);
        assert_rc(f, RS_E_IO, rs_blob_mount(f->registry, RS_STR(REPO), RS_STR("from"), &digest, &f->err));
    }
    assert_ok(f, rs_blob_mount(f->registry, RS_STR(REPO), RS_STR("from"), &digest, &f->err));
    assert_true(has_blob(f, "blob"));
}

static void test_hash_state_is_only_a_help(void **state)
{
    struct fixture *f = *state;
    size_t len = 600000;
    RS_AUTO(rs_free_ptr) char *bytes = rs_calloc(1, len);
    struct rs_digest digest;
    rs_digest_of(RS_SHA256, bytes, len, &digest);
    static const char *const plans[] = {"put", "list", "read"};
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        char uuid[RS_UUID_SIZE];
        struct rs_upload *u;
        rs_storage_faulty_clear(f->storage);
        assert_ok(f, rs_upload_begin(f->registry, RS_STR(REPO), uuid, &f->err));
        assert_ok(f, open_upload(f, uuid, &u));
        assert_ok(f, rs_upload_write(u, bytes, len, &f->err));
        plan(f, plans[i]);
        rs_upload_suspend(&u);
        assert_ok(f, open_upload(f, uuid, &u));
        assert_true(rs_storage_faulty_failures(f->storage) > 0);
        rs_storage_faulty_clear(f->storage);
        assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
    }
}

static bool tag_is(struct fixture *f, const char *tag, const struct rs_digest *digest)
{
    const struct rs_manifest_doc *doc = NULL;
    rs_rc rc = try_get(f, REPO, tag, &doc);
    bool same = rc == RS_OK && rs_digest_eq(&doc->digest, digest);
    rs_manifest_doc_unref(&doc);
    return same;
}

/* Every call of a manifest's push fails once, one after the other: the tag keeps its old manifest or has the new one,
 * whole, and the next try succeeds. */
static void test_manifest_put_fails_anywhere(void **state)
{
    struct fixture *f = *state;
    struct rs_digest old = push_image(f, REPO, "v1", "old", "layer");
    bool failed = true;
    int rounds = 0;
    for (int n = 1; failed; n++, rounds++) {
        char text[64], config[32];
        struct rs_digest digest;
        snprintf(config, sizeof config, "config %d", n);
        push_text(f, REPO, config);
        const char *layer = "layer";
        RS_AUTO(rs_free_ptr) char *json = image_json(config, &layer, 1);
        digest = digest_of(json);
        snprintf(text, sizeof text, "any:nth=%d", n);
        plan(f, text);
        rs_rc rc = try_put(f, REPO, "v1", json, NULL);
        failed = rs_storage_faulty_failures(f->storage) > 0;
        rs_storage_faulty_clear(f->storage);
        if (rc == RS_OK) /* what failed was not needed */
            assert_true(tag_is(f, "v1", &digest));
        else
            assert_true(tag_is(f, "v1", &old) || tag_is(f, "v1", &digest));
        assert_ok(f, try_put(f, REPO, "v1", json, NULL));
        assert_manifest(f, REPO, "v1", json);
        old = digest;
    }
    assert_true(rounds > 15);
}

/* A collector takes a blob at any moment of a push. Where that is only seen by the second check, the revision is taken
 * back, but not one that was there before. */
static void test_revision_is_taken_back(void **state)
{
    struct fixture *f = *state;
    char path[512], text[64];
    const char *layer = "layer";
    push_text(f, REPO, "config");
    push_text(f, REPO, "layer");
    RS_AUTO(rs_free_ptr) char *json = image_json("config", &layer, 1);
    struct rs_digest digest = digest_of(json);
    snprintf(path, sizeof path, "repositories/" REPO "/_manifests/revisions/sha256/%s", rs_digest_hex(&digest));
    for (int was_there = 0; was_there < 2; was_there++) {
        int taken_back = 0;
        for (int n = 1, failed = 1; failed; n++) {
            snprintf(text, sizeof text, "stat:nth=%d:error=NOT_FOUND", n);
            plan(f, text);
            rs_rc rc = try_put(f, REPO, digest.text, json, NULL);
            failed = rs_storage_faulty_failures(f->storage) > 0;
            taken_back += rc != RS_OK && rs_storage_faulty_calls(f->storage, RS_FAULTY_SYNC) == 1;
            rs_storage_faulty_clear(f->storage);
            assert_true(rc == RS_OK || rc == RS_E_MANIFEST_BLOB_UNKNOWN);
            assert_int_equal(fixture_exists(f, path), was_there || rc == RS_OK);
            if (!was_there && rc == RS_OK)
                fixture_remove(f, path);
        }
        assert_int_equal(taken_back, 4); /* the second check looks at link and data of two blobs */
        assert_ok(f, try_put(f, REPO, "v1", json, NULL));
    }
    assert_manifest(f, REPO, "v1", json);
}

/* The order on the disk: the revision is durable before the tag is written. */
static void test_tag_waits_for_the_sync(void **state)
{
    struct fixture *f = *state;
    const char *layer = "layer";
    push_text(f, REPO, "config");
    push_text(f, REPO, "layer");
    RS_AUTO(rs_free_ptr) char *json = image_json("config", &layer, 1);
    plan(f, "sync:nth=1");
    assert_rc(f, RS_E_IO, try_put(f, REPO, "v1", json, NULL));
    assert_false(fixture_exists(f, "repositories/" REPO "/_manifests/tags"));
    plan(f, "sync:nth=2");
    assert_rc(f, RS_E_IO, try_put(f, REPO, "v1", json, NULL));
    rs_storage_faulty_clear(f->storage);
    assert_ok(f, try_put(f, REPO, "v1", json, NULL));
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_SYNC), 2);
}

static void test_errors_of_reading_are_told(void **state)
{
    struct fixture *f = *state;
    const struct rs_manifest_doc *doc = NULL;
    struct rs_source source;
    uint64_t size;
    struct rs_digest digest = push_image(f, REPO, "v1", "config", "layer");
    struct rs_digest layer = digest_of("layer");
    static const char *const plans[] = {"stat:nth=1", "stat:nth=2", "read:nth=1"};
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        plan(f, plans[i]);
        assert_rc(f, RS_E_IO, try_get(f, REPO, "v1", &doc));
    }
    plan(f, "stat:nth=1");
    assert_rc(f, RS_E_IO, try_get(f, REPO, digest.text, &doc));
    plan(f, "stat:nth=2");
    assert_rc(f, RS_E_IO, rs_blob_stat(f->registry, RS_STR(REPO), &layer, &size, &f->err));
    plan(f, "open:nth=1");
    assert_rc(f, RS_E_IO, rs_blob_open(f->registry, RS_STR(REPO), &layer, &source, &f->err));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_full_disk_while_writing),
        TEST(test_broken_upload_cannot_be_committed),
        TEST(test_commit_fails),
        TEST(test_begin_and_mount_fail),
        TEST(test_hash_state_is_only_a_help),
        TEST(test_manifest_put_fails_anywhere),
        TEST(test_revision_is_taken_back),
        TEST(test_tag_waits_for_the_sync),
        TEST(test_errors_of_reading_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
