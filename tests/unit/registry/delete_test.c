/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting tags, manifests and blobs. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/mem.h"

#define REPO "del/app"
#define TAGS "repositories/" REPO "/_manifests/tags"

static rs_rc delete_tag(struct fixture *f, const char *tag)
{
    return rs_tag_delete(f->registry, RS_STR(REPO), rs_str_c(tag), &f->err);
}

static rs_rc delete_manifest(struct fixture *f, const struct rs_digest *digest)
{
    return rs_manifest_delete(f->registry, RS_STR(REPO), digest, NULL, NULL, &f->err);
}

static rs_rc unlink_blob(struct fixture *f, const struct rs_digest *digest)
{
    return rs_blob_unlink(f->registry, RS_STR(REPO), digest, &f->err);
}

static bool is_there(struct fixture *f, const char *reference)
{
    const struct rs_manifest_doc *doc = NULL;
    rs_rc rc = try_get(f, REPO, reference, &doc);
    rs_manifest_doc_unref(&doc);
    if (rc != RS_OK)
        assert_rc(f, RS_E_MANIFEST_UNKNOWN, rc);
    return rc == RS_OK;
}

static void number_json(char out[512], int number)
{
    snprintf(out, 512,
             "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":[],"
             "\"annotations\":{\"n\":\"%d\"}}",
             number);
}

static struct rs_digest put_number(struct fixture *f, const char *tag, int number)
{
    char json[512];
    struct rs_digest digest;
    number_json(json, number);
    assert_ok(f, try_put(f, REPO, tag, json, &digest));
    return digest;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void test_a_tag_goes_alone(void **state)
{
    struct fixture *f = *state;
    assert_rc(f, RS_E_MANIFEST_UNKNOWN, delete_tag(f, "v1"));
    struct rs_digest digest = put_number(f, "v1", 1);
    put_number(f, "v2", 1);
    assert_rc(f, RS_E_MANIFEST_UNKNOWN, delete_tag(f, "v3"));
    assert_ok(f, delete_tag(f, "v1"));
    assert_rc(f, RS_E_MANIFEST_UNKNOWN, delete_tag(f, "v1"));
    assert_false(is_there(f, "v1"));
    assert_true(is_there(f, "v2"));
    assert_true(is_there(f, digest.text));
    assert_false(fixture_exists(f, TAGS "/v1")); /* nothing is left of it */
    assert_ok(f, delete_tag(f, "v2"));
    assert_true(is_there(f, digest.text));
    assert_true(fixture_exists(f, TAGS)); /* the repository stays */
    put_number(f, "v1", 1);
    assert_true(is_there(f, "v1"));
}

static void test_a_tag_with_a_past_goes_whole(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        put_number(f, "v1", i);
    assert_ok(f, delete_tag(f, "v1"));
    assert_false(fixture_exists(f, TAGS "/v1"));
}

static void test_a_manifest_goes_with_its_tags(void **state)
{
    struct fixture *f = *state;
    struct rs_digest other = put_number(f, "other", 2);
    struct rs_digest digest = put_number(f, "v1", 1);
    put_number(f, "v2", 1);
    put_number(f, "moved", 1);
    put_number(f, "moved", 2);
    assert_ok(f, delete_manifest(f, &digest));
    assert_rc(f, RS_E_MANIFEST_UNKNOWN, delete_manifest(f, &digest));
    assert_false(is_there(f, "v1") || is_there(f, "v2") || is_there(f, digest.text));
    assert_true(is_there(f, "other") && is_there(f, "moved") && is_there(f, other.text));
    assert_false(fixture_exists(f, TAGS "/v2"));
    put_number(f, "v2", 1); /* and again */
    assert_true(is_there(f, "v2") && is_there(f, digest.text));
    assert_false(is_there(f, "v1"));
}

static void test_a_manifest_without_tags(void **state)
{
    struct fixture *f = *state;
    char json[512];
    number_json(json, 1);
    struct rs_digest digest = digest_of(json);
    assert_rc(f, RS_E_MANIFEST_UNKNOWN, delete_manifest(f, &digest));
    assert_ok(f, try_put(f, REPO, digest.text, json, NULL));
    assert_ok(f, delete_manifest(f, &digest));
    assert_false(is_there(f, digest.text));
}

/* registry:2 reads these; people edit them. */
static void test_a_link_with_a_line_feed(void **state)
{
    struct fixture *f = *state;
    char text[200];
    struct rs_digest digest = put_number(f, "v1", 1);
    snprintf(text, sizeof text, "%s\n", digest.text);
    fixture_write_c(f, TAGS "/v1/current/link", text);
    fixture_write_c(f, TAGS "/junk/current/link", "no digest");
    fixture_age(f, TAGS "/junk/current/link", 100);
    assert_ok(f, delete_manifest(f, &digest));
    assert_false(is_there(f, "v1"));
    assert_true(fixture_exists(f, TAGS "/junk/current/link"));
}

/* A reader trusts a revision for a second, but looks at the tag each time; here and in another process. */
static void test_a_delete_is_seen_at_once(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = fixture_second(f);
    for (int i = 0; i < 10; i++) {
        struct rs_digest digest = put_number(f, "v1", i);
        pause_ms(30); /* stamps are given by then */
        for (int k = 0; k < 2; k++)
            assert_true(is_there(f, "v1") && is_there(g, "v1") && is_there(f, digest.text) && is_there(g, digest.text));
        assert_ok(f, delete_manifest(i % 2 ? f : g, &digest));
        assert_false(is_there(f, "v1") || is_there(g, "v1") || is_there(f, digest.text) || is_there(g, digest.text));
    }
    fixture_second_free(&g);
}

static void test_a_blob_loses_its_link_alone(void **state)
{
    struct fixture *f = *state;
    struct rs_digest blob = push_text(f, REPO, "text");
    push_text(f, "del/other", "text");
    uint64_t size;
    struct rs_source source;
    char byte[4];
    assert_ok(f, rs_blob_open(f->registry, RS_STR(REPO), &blob, &source, &f->err)); /* somebody pulls it */
    assert_ok(f, unlink_blob(f, &blob));
    assert_rc(f, RS_E_BLOB_UNKNOWN, unlink_blob(f, &blob));
    assert_rc(f, RS_E_BLOB_UNKNOWN, rs_blob_stat(f->registry, RS_STR(REPO), &blob, &size, &f->err));
    assert_int_equal(pread(source.fd, byte, 4, 0), 4);
    assert_memory_equal(byte, "text", 4);
    rs_source_release(&source);
    assert_ok(f, rs_blob_stat(f->registry, RS_STR("del/other"), &blob, &size, &f->err));
    push_text(f, REPO, "text");
    assert_ok(f, rs_blob_stat(f->registry, RS_STR(REPO), &blob, &size, &f->err));
}

static void test_errors_of_the_storage_are_passed_on(void **state)
{
    struct fixture *f = *state;
    static const char *const plans[] = {"stat:nth=1", "list:nth=1", "remove:nth=1",
                                        "sync:nth=1", "sync:nth=2", "remove:nth=4"};
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        struct rs_digest digest = put_number(f, "v1", (int)i);
        rs_storage_faulty_clear(f->storage);
        assert_ok(f, rs_storage_faulty_parse(f->storage, rs_str_c(plans[i]), &f->err));
        assert_rc(f, RS_E_IO, delete_manifest(f, &digest));
        rs_storage_faulty_clear(f->storage);
        rs_rc rc = delete_manifest(f, &digest); /* and goes when it is tried again */
        assert_true(rc == RS_OK || rc == RS_E_MANIFEST_UNKNOWN);
        assert_false(is_there(f, "v1") || is_there(f, digest.text));
    }
}

/* Tags are gone, durably, before their revision goes. */
static void test_tags_go_before_the_revision(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = put_number(f, "v1", 1);
    rs_storage_faulty_clear(f->storage);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("sync:nth=1"), &f->err));
    assert_rc(f, RS_E_IO, delete_manifest(f, &digest));
    assert_true(is_there(f, digest.text));
    assert_false(is_there(f, "v1"));
    rs_storage_faulty_clear(f->storage);
}

/* --- at once --- */

struct racer {
    struct fixture f;
    int number;
    int rounds;
    const char *complaint;
};

static void race(struct fixture *f, void *(*bodies[])(void *), size_t count, int rounds)
{
    struct fixture *g = fixture_second(f);
    struct racer racers[8];
    pthread_t threads[8];
    for (size_t i = 0; i < count; i++) {
        racers[i] = (struct racer){.f = i % 2 ? *f : *g, .number = (int)i, .rounds = rounds};
        assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], &racers[i]), 0);
    }
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < count; i++)
        if (racers[i].complaint != NULL)
            fail_msg("thread %zu: %s: %s", i, racers[i].complaint, racers[i].f.err.text);
    fixture_second_free(&g);
}

static void *push_one(void *arg)
{
    struct racer *r = arg;
    char json[512];
    number_json(json, 1);
    for (int i = 0; i < r->rounds && r->complaint == NULL; i++)
        if (try_put(&r->f, REPO, r->number % 2 ? "v1" : "v2", json, NULL) != RS_OK)
            r->complaint = "put";
    return NULL;
}

static void *delete_one(void *arg)
{
    struct racer *r = arg;
    char json[512];
    number_json(json, 1);
    struct rs_digest digest = digest_of(json);
    for (int i = 0; i < r->rounds && r->complaint == NULL; i++) {
        rs_rc rc = delete_manifest(&r->f, &digest);
        if (rc != RS_OK && rc != RS_E_MANIFEST_UNKNOWN)
            r->complaint = "delete";
    }
    return NULL;
}

static void *delete_its_tag(void *arg)
{
    struct racer *r = arg;
    for (int i = 0; i < r->rounds && r->complaint == NULL; i++) {
        rs_rc rc = delete_tag(&r->f, "v1");
        if (rc != RS_OK && rc != RS_E_MANIFEST_UNKNOWN)
            r->complaint = "delete of the tag";
    }
    return NULL;
}

/* However pushes and deletes meet: nobody fails, and afterwards no tag lacks its revision. */
static void test_deletes_meet_pushes_of_the_same(void **state)
{
    struct fixture *f = *state;
    void *(*bodies[])(void *) = {push_one, push_one, delete_one, delete_one, delete_its_tag};
    char json[512];
    number_json(json, 1);
    struct rs_digest digest = digest_of(json);
    char link[300];
    snprintf(link, sizeof link, "repositories/" REPO "/_manifests/revisions/sha256/%s/link", rs_digest_hex(&digest));
    for (int round = 0; round < 30; round++) {
        race(f, bodies, RS_COUNT(bodies), 5);
        if (fixture_exists(f, TAGS "/v1/current/link") || fixture_exists(f, TAGS "/v2/current/link"))
            assert_true(fixture_exists(f, link));
    }
    put_number(f, "v1", 1);
    assert_true(is_there(f, "v1"));
    RS_AUTO(rs_free_ptr) char *tree = fixture_tree(f);
    assert_null(strstr(tree, ".tmp"));
}

/* The tag that is moved to and fro never points to what is deleted for longer than a moment, and is never lost. */
static void *move_on(void *arg)
{
    struct racer *r = arg;
    char json[512];
    for (int i = 0; i < r->rounds && r->complaint == NULL; i++) {
        const struct rs_manifest_doc *doc = NULL;
        number_json(json, 1);
        if (try_put(&r->f, REPO, "moving", json, NULL) != RS_OK)
            r->complaint = "put of what is deleted";
        number_json(json, 2);
        if (r->complaint == NULL && try_put(&r->f, REPO, "moving", json, NULL) != RS_OK)
            r->complaint = "put of what stays";
        if (r->complaint == NULL && try_get(&r->f, REPO, "moving", &doc) != RS_OK)
            r->complaint = "a tag that had moved on was deleted";
        rs_manifest_doc_unref(&doc);
    }
    return NULL;
}

static void test_a_tag_that_moves_on_stays(void **state)
{
    struct fixture *f = *state;
    void *(*bodies[])(void *) = {move_on, delete_one, delete_one};
    race(f, bodies, RS_COUNT(bodies), 100);
    assert_true(is_there(f, "moving"));
}

static void *push_image_of_blob(void *arg)
{
    struct racer *r = arg;
    const char *layer = "layer";
    RS_AUTO(rs_free_ptr) char *json = image_json("config", &layer, 1);
    for (int i = 0; i < r->rounds && r->complaint == NULL; i++) {
        struct rs_digest a = digest_of("config"), b = digest_of("layer");
        if (try_push(&r->f, REPO, RS_STR("config"), &a) != RS_OK || try_push(&r->f, REPO, RS_STR("layer"), &b) != RS_OK)
            r->complaint = "push of a blob";
        rs_rc rc = r->complaint == NULL ? try_put(&r->f, REPO, "v1", json, NULL) : RS_OK;
        if (rc != RS_OK && rc != RS_E_MANIFEST_BLOB_UNKNOWN)
            r->complaint = "push of the manifest";
    }
    return NULL;
}

static void *unlink_layer(void *arg)
{
    struct racer *r = arg;
    struct rs_digest b = digest_of("layer");
    for (int i = 0; i < r->rounds && r->complaint == NULL; i++) {
        rs_rc rc = unlink_blob(&r->f, &b);
        if (rc != RS_OK && rc != RS_E_BLOB_UNKNOWN)
            r->complaint = "unlink";
    }
    return NULL;
}

static void test_a_blob_goes_while_a_manifest_needs_it(void **state)
{
    struct fixture *f = *state;
    void *(*bodies[])(void *) = {push_image_of_blob, push_image_of_blob, unlink_layer, delete_its_tag};
    race(f, bodies, RS_COUNT(bodies), 40);
    push_image(f, REPO, "v1", "config", "layer");
    assert_true(is_there(f, "v1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_tag_goes_alone, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_tag_with_a_past_goes_whole, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_manifest_goes_with_its_tags, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_manifest_without_tags, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_link_with_a_line_feed, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_delete_is_seen_at_once, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_blob_loses_its_link_alone, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_errors_of_the_storage_are_passed_on, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_tags_go_before_the_revision, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_deletes_meet_pushes_of_the_same, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_tag_that_moves_on_stays, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_blob_goes_while_a_manifest_needs_it, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
