/* SPDX-License-Identifier: Apache-2.0 */
/* Many requests at once, on two registries that share a directory. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"

#define REPO "shared/app"
#define THREADS 6

/* Each thread has an error of its own. */
struct worker {
    struct fixture f;
    int number;
    const char *complaint;
};

static void run(struct fixture *f, void *(*body)(void *))
{
    struct fixture *g = fixture_second(f);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.f = i % 2 ? *f : *g, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, body, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        if (workers[i].complaint != NULL)
            fail_msg("thread %d: %s: %s", i, workers[i].complaint, workers[i].f.err.text);
    }
    fixture_second_free(&g);
}

static rs_rc push(struct fixture *f, const char *text)
{
    struct rs_digest digest = digest_of(text);
    return try_push(f, REPO, rs_str_c(text), &digest);
}

/* Everybody pushes the same image under the same tag. */
static void *push_the_same(void *arg)
{
    struct worker *w = arg;
    const struct rs_manifest_doc *doc = NULL;
    for (int i = 0; i < 20 && w->complaint == NULL; i++) {
        char config[32];
        const char *layer = "layer";
        snprintf(config, sizeof config, "config %d", i);
        RS_AUTO(rs_free_ptr) char *json = image_json(config, &layer, 1);
        if (push(&w->f, layer) != RS_OK || push(&w->f, config) != RS_OK)
            w->complaint = "push";
        else if (try_put(&w->f, REPO, "v1", json, NULL) != RS_OK)
            w->complaint = "put";
        else if (try_get(&w->f, REPO, digest_of(json).text, &doc) != RS_OK)
            w->complaint = "get by digest";
        rs_manifest_doc_unref(&doc);
        if (w->complaint == NULL && try_get(&w->f, REPO, "v1", &doc) != RS_OK)
            w->complaint = "get by tag";
        rs_manifest_doc_unref(&doc);
    }
    return NULL;
}

static void test_same_image(void **state)
{
    struct fixture *f = *state;
    run(f, push_the_same);
    RS_AUTO(rs_free_ptr) char *tree = fixture_tree(f);
    assert_null(strstr(tree, "startedat"));
    assert_null(strstr(tree, ".tmp"));
}

static void number_json(char *out, size_t size, int number)
{
    snprintf(out, size,
             "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":[],"
             "\"annotations\":{\"n\":\"%d\"}}",
             number);
}

/* Half of them move one tag to and fro, half read it: what is read is always one of the two, whole. */
static void *move_or_read(void *arg)
{
    struct worker *w = arg;
    char json[512];
    for (int i = 0; i < 150 && w->complaint == NULL; i++) {
        const struct rs_manifest_doc *doc = NULL;
        number_json(json, sizeof json, w->number);
        if (w->number < 2) {
            if (try_put(&w->f, REPO, "moving", json, NULL) != RS_OK)
                w->complaint = "put";
            continue;
        }
        rs_rc rc = try_get(&w->f, REPO, "moving", &doc);
        if (rc == RS_E_MANIFEST_UNKNOWN)
            continue; /* not yet */
        if (rc != RS_OK) {
            w->complaint = "get";
            continue;
        }
        char other[512];
        number_json(json, sizeof json, 0);
        number_json(other, sizeof other, 1);
        if (!rs_str_eq_c(doc->bytes, json) && !rs_str_eq_c(doc->bytes, other))
            w->complaint = "wrong bytes";
        rs_manifest_doc_unref(&doc);
    }
    return NULL;
}

static void test_moving_tag(void **state)
{
    struct fixture *f = *state;
    run(f, move_or_read);
    const struct rs_manifest_doc *doc;
    assert_ok(f, try_get(f, REPO, "moving", &doc));
    rs_manifest_doc_unref(&doc);
}

static char race_uuid[RS_UUID_SIZE];
static atomic_int race_winners;

/* A client that lost an answer sends its PUT again: one of them ends the upload. */
static void *finish_the_same_upload(void *arg)
{
    struct worker *w = arg;
    struct rs_upload *u = NULL;
    struct rs_digest digest = digest_of("raced");
    rs_rc rc = rs_upload_open(w->f.registry, RS_STR(REPO), rs_str_c(race_uuid), RS_SHA256, &u, &w->f.err);
    if (rc == RS_OK)
        rc = rs_upload_commit(&u, &digest, &w->f.err);
    if (rc == RS_OK)
        atomic_fetch_add(&race_winners, 1);
    else if (rc != RS_E_RANGE_INVALID && rc != RS_E_BLOB_UPLOAD_UNKNOWN)
        w->complaint = rs_rc_name(rc);
    return NULL;
}

static void test_one_upload_ends_once(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = digest_of("raced");
    for (int i = 0; i < 30; i++) {
        struct rs_upload *u;
        uint64_t size;
        assert_ok(f, rs_upload_begin(f->registry, RS_STR(REPO), race_uuid, &f->err));
        assert_ok(f, rs_upload_open(f->registry, RS_STR(REPO), rs_str_c(race_uuid), RS_SHA256, &u, &f->err));
        assert_ok(f, rs_upload_write(u, "raced", 5, &f->err));
        rs_upload_suspend(&u);
        race_winners = 0;
        run(f, finish_the_same_upload);
        assert_int_equal(race_winners, 1);
        assert_ok(f, rs_blob_stat(f->registry, RS_STR(REPO), &digest, &size, &f->err));
        assert_int_equal(size, 5);
        fixture_remove(f, "blobs");
        fixture_remove(f, "repositories/" REPO "/_layers");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_same_image),
        TEST(test_moving_tag),
        TEST(test_one_upload_ends_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
