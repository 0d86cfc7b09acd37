/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <pthread.h>

#include "base/mem.h"

#define EMPTY "{}"
#define SBOM "application/vnd.example.sbom"

/* A manifest that refers to the digest of `subject`'s text. type: NULL: none. */
static char *referrer_json(const char *subject, const char *type, int n)
{
    struct rs_buf b;
    const struct rs_digest config = digest_of(EMPTY), of = digest_of(subject);
    rs_buf_init(&b, 10000);
    rs_buf_printf(&b,
                  "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"c/t\",\"digest\":\"%s\",\"size\":2},"
                  "\"subject\":{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":1},",
                  config.text, of.text);
    if (type != NULL)
        rs_buf_printf(&b, "\"artifactType\":\"%s\",", type);
    rs_buf_printf(&b, "\"annotations\":{\"n\":\"%d\"}}", n);
    rs_buf_z(&b);
    return b.ptr;
}

static struct rs_digest push_json(struct fixture *f, const char *repository, const char *json)
{
    struct rs_digest digest = digest_of(json);
    push_text(f, repository, EMPTY);
    assert_ok(f, try_put(f, repository, digest.text, json, &digest));
    return digest;
}

static struct rs_digest push_referrer(struct fixture *f, const char *repository, const char *subject, const char *type,
                                      int n)
{
    RS_AUTO(rs_free_ptr) char *json = referrer_json(subject, type, n);
    return push_json(f, repository, json);
}

/* Paths below docker/registry/v2. */
static const char *revision_link(const char *repository, const struct rs_digest *digest)
{
    static _Thread_local char path[400];
    snprintf(path, sizeof path, "repositories/%s/_manifests/revisions/%s/%s/link", repository,
             rs_hash_name(digest->alg), rs_digest_hex(digest));
    return path;
}

static const char *blob_data(const struct rs_digest *digest)
{
    static _Thread_local char path[400];
    snprintf(path, sizeof path, "blobs/%s/%.2s/%s/data", rs_hash_name(digest->alg), rs_digest_hex(digest),
             rs_digest_hex(digest));
    return path;
}

/* As a registry:2 stores it: no word of it to this process. */
static struct rs_digest store_referrer(struct fixture *f, const char *repository, const char *subject, int n)
{
    RS_AUTO(rs_free_ptr) char *json = referrer_json(subject, SBOM, n);
    struct rs_digest digest = digest_of(json);
    fixture_write_c(f, blob_data(&digest), json);
    fixture_write_c(f, revision_link(repository, &digest), digest.text);
    return digest;
}

struct asked {
    const char *type;
    const char *after;
    uint64_t max;
    bool read_only;
};

static rs_rc ask(struct fixture *f, const char *subject, struct asked asked, struct rs_referrers_page *page)
{
    struct rs_referrers_query query = {
        .repository = RS_STR("app"),
        .subject = digest_of(subject),
        .artifact_type = rs_str_c(asked.type),
        .after = rs_str_c(asked.after),
        .max = asked.max > 0 ? asked.max : 1000,
        .read_only = asked.read_only,
    };
    rs_referrers_page_init(page);
    return rs_referrers_list(f->registry, &query, page, &f->err);
}

static size_t count(struct fixture *f, const char *subject, struct asked asked)
{
    RS_AUTO(rs_referrers_page_release) struct rs_referrers_page page;
    assert_ok(f, ask(f, subject, asked, &page));
    return page.count;
}

static bool lists(struct fixture *f, const char *subject, const struct rs_digest *digest)
{
    RS_AUTO(rs_referrers_page_release) struct rs_referrers_page page;
    assert_ok(f, ask(f, subject, (struct asked){0}, &page));
    return strstr(rs_buf_z(&page.json), digest->text) != NULL;
}

static const struct asked all = {0};

static void a_descriptor_has_what_the_specification_wants(void **state)
{
    struct fixture *f = *state;
    char expected[1000];
    RS_AUTO(rs_referrers_page_release) struct rs_referrers_page page;
    RS_AUTO(rs_free_ptr) char *json = referrer_json("s", SBOM, 1);
    struct rs_digest digest = push_json(f, "app", json);
    snprintf(expected, sizeof expected,
             "{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu,\"artifactType\":\"" SBOM
             "\",\"annotations\":{\"n\":\"1\"}}",
             digest.text, strlen(json));
    assert_ok(f, ask(f, "s", all, &page));
    assert_string_equal(rs_buf_z(&page.json), expected);
    assert_int_equal(page.count, 1);
    assert_false(page.more);
    assert_int_equal(count(f, "t", all), 0);
}

static void types_filter(void **state)
{
    struct fixture *f = *state;
    push_referrer(f, "app", "s", SBOM, 1);
    push_referrer(f, "app", "s", "other/type", 2);
    push_referrer(f, "app", "s", NULL, 3);
    push_referrer(f, "app", "t", SBOM, 4);
    assert_int_equal(count(f, "s", all), 3);
    assert_int_equal(count(f, "s", (struct asked){.type = SBOM}), 1);
    assert_int_equal(count(f, "s", (struct asked){.type = "c/t"}), 1); /* the config's */
    assert_int_equal(count(f, "s", (struct asked){.type = "none"}), 0);
}

static void pages_go_through_both_algorithms(void **state)
{
    struct fixture *f = *state;
    char after[RS_DIGEST_TEXT_MAX] = "";
    size_t seen = 0, pages = 0;
    for (int n = 0; n < 5; n++) {
        RS_AUTO(rs_free_ptr) char *json = referrer_json("s", SBOM, n);
        struct rs_digest digest;
        push_json(f, "app", json);
        rs_digest_of(RS_SHA512, json, strlen(json), &digest);
        assert_ok(f, try_put(f, "app", digest.text, json, &digest));
    }
    for (bool more = true; more; pages++) {
        RS_AUTO(rs_referrers_page_release) struct rs_referrers_page page;
        assert_ok(f, ask(f, "s", (struct asked){.after = after, .max = 3}, &page));
        assert_true(page.count > 0 && page.count <= 3);
        more = page.more;
        seen += page.count;
        memcpy(after, page.last.text, sizeof after);
    }
    assert_int_equal(seen, 10);
    assert_int_equal(pages, 4);
    assert_int_equal(count(f, "s", (struct asked){.after = "sha512"}), 5);
    assert_int_equal(count(f, "s", (struct asked){.after = "zzz:1"}), 0);
}

static void nothing_is_read_for_a_push_of_our_own(void **state)
{
    struct fixture *f = *state;
    for (int n = 0; n < 10; n++)
        push_referrer(f, "app", "s", SBOM, n);
    push_image(f, "app", "1", "config", "layer");
    rs_storage_faulty_clear(f->storage);
    assert_int_equal(count(f, "other", all), 0);
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_READ), 0);
    assert_int_equal(count(f, "s", all), 10);
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_READ), 10); /* for the descriptors */
}

static void what_others_stored_is_read_once(void **state)
{
    struct fixture *f = *state;
    for (int n = 0; n < 10; n++)
        store_referrer(f, "app", "s", n);
    fixture_age(f, "repositories/app/_manifests/revisions/sha256", 5);
    assert_int_equal(count(f, "s", all), 10);
    rs_storage_faulty_clear(f->storage);
    assert_int_equal(count(f, "other", all), 0);
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_READ), 0);
    struct rs_digest late = store_referrer(f, "app", "s", 10);
    assert_true(lists(f, "s", &late));
}

static void who_removes_a_link_removes_it_from_the_list(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = push_referrer(f, "app", "s", SBOM, 1), other = push_referrer(f, "app", "s", SBOM, 2);
    assert_int_equal(count(f, "s", all), 2);
    fixture_remove(f, revision_link("app", &digest)); /* the directory stays, as with registry:2 */
    assert_false(lists(f, "s", &digest));
    assert_true(lists(f, "s", &other));
    fixture_write_c(f, revision_link("app", &digest), digest.text);
    assert_true(lists(f, "s", &digest));
}

static void bytes_that_are_gone_or_damaged_are_not_listed_until_they_are_back(void **state)
{
    struct fixture *f = *state;
    struct rs_digest gone = store_referrer(f, "app", "s", 1), damaged = store_referrer(f, "app", "s", 2);
    RS_AUTO(rs_free_ptr) char *one = fixture_read(f, blob_data(&gone));
    RS_AUTO(rs_free_ptr) char *two = fixture_read(f, blob_data(&damaged));
    fixture_remove(f, blob_data(&gone));
    fixture_write_c(f, blob_data(&damaged), "{}");
    fixture_age(f, "repositories/app/_manifests/revisions/sha256", 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(count(f, "s", all), 0);
    fixture_write_c(f, blob_data(&gone), one);
    assert_true(lists(f, "s", &gone));
    assert_int_equal(count(f, "s", all), 1);
    push_json(f, "app", two); /* heals it */
    assert_true(lists(f, "s", &damaged));
    assert_int_equal(count(f, "s", all), 2);
}

/* Their directories are many, so they are not tried each time; but what this process puts back is seen. */
static void many_directories_without_bytes_cost_little(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_free_ptr) char *json = referrer_json("s", SBOM, 1);
    struct rs_digest digest = digest_of(json);
    for (int n = 0; n < 100; n++) {
        char text[16];
        snprintf(text, sizeof text, "%d", n);
        struct rs_digest other = digest_of(text);
        fixture_write_c(f, revision_link("app", &other), other.text);
    }
    fixture_write_c(f, revision_link("app", &digest), digest.text);
    fixture_age(f, "repositories/app/_manifests/revisions/sha256", 5);
    assert_int_equal(count(f, "s", all), 0);
    rs_storage_faulty_clear(f->storage);
    assert_int_equal(count(f, "s", all), 0);
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_READ), 0);
    push_json(f, "app", json);
    assert_int_equal(count(f, "s", all), 1);
    assert_true(rs_storage_faulty_calls(f->storage, RS_FAULTY_READ) < 300);
}

static const char notes[] = "repositories/app/_roadstead/referrers/sha256";
#define MANY 200

static void store_many(struct fixture *f)
{
    for (int n = 0; n < MANY; n++)
        store_referrer(f, "app", n % 2 == 0 ? "s" : "t", n);
    fixture_age(f, "repositories/app/_manifests/revisions/sha256", 5);
}

/* How many manifests another process reads to answer. */
static uint64_t reads_of_a_second(struct fixture *f)
{
    struct fixture *second = fixture_second(f);
    assert_int_equal(count(second, "nothing", all), 0);
    uint64_t reads = rs_storage_faulty_calls(second->storage, RS_FAULTY_READ);
    assert_int_equal(count(second, "s", all), MANY / 2);
    fixture_second_free(&second);
    return reads;
}

static void notes_outlive_the_process(void **state)
{
    struct fixture *f = *state;
    store_many(f);
    assert_int_equal(count(f, "s", all), MANY / 2);
    assert_true(fixture_exists(f, notes));
    assert_int_equal(reads_of_a_second(f), 1);
    fixture_remove(f, notes); /* a cache may be lost */
    assert_int_equal(count(f, "s", all), MANY / 2);
    assert_int_equal(reads_of_a_second(f), 1 + MANY);
    assert_int_equal(reads_of_a_second(f), 1); /* it was written again */
}

static void notes_that_cannot_be_believed_are_made_anew(void **state)
{
    struct fixture *f = *state;
    store_many(f);
    assert_int_equal(count(f, "s", all), MANY / 2);
    fixture_write_c(f, notes, "roadstead referrers 1\n");
    assert_int_equal(reads_of_a_second(f), 1 + MANY);
    assert_int_equal(reads_of_a_second(f), 1);
}

static void nothing_is_written_when_that_is_forbidden_or_fails(void **state)
{
    struct fixture *f = *state;
    store_many(f);
    assert_int_equal(count(f, "s", (struct asked){.read_only = true}), MANY / 2);
    assert_false(fixture_exists(f, "repositories/app/_roadstead"));
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("put:error=STORAGE_FULL"), &f->err));
    for (int n = MANY; n < 2 * MANY; n++)
        store_referrer(f, "app", "s", n);
    assert_int_equal(count(f, "s", all), MANY + MANY / 2);
    assert_false(fixture_exists(f, notes));
}

static void a_list_that_cannot_be_known_is_an_error(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_referrers_page_release) struct rs_referrers_page page;
    store_referrer(f, "app", "s", 1);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("read:error=IO"), &f->err));
    assert_rc(f, RS_E_IO, ask(f, "s", all, &page));
    rs_storage_faulty_clear(f->storage);
    assert_int_equal(count(f, "s", all), 1);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("stat:error=IO"), &f->err));
    assert_rc(f, RS_E_IO, ask(f, "s", all, &page));
}

static void what_is_no_manifest_is_passed_by(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = push_referrer(f, "app", "s", SBOM, 1);
    fixture_write_c(f, "repositories/app/_manifests/revisions/sha256/README", "a file");
    fixture_write_c(f, "repositories/app/_manifests/revisions/sha256/abc/link", "sha256:abc");
    fixture_write_c(f, "repositories/app/_manifests/revisions/sha384/00/link", "sha384:00");
    assert_true(lists(f, "s", &digest));
    assert_int_equal(count(f, "s", all), 1);
}

/* --- several at once --- */

#define THREADS 6
#define EACH 30

struct worker {
    struct fixture *f; /* its own error */
    int first;
    pthread_t thread;
};

static void *push_and_list(void *ctx)
{
    struct worker *w = ctx;
    for (int n = w->first; n < w->first + EACH; n++) {
        struct rs_digest digest =
            n % 2 == 0 ? push_referrer(w->f, "app", "s", SBOM, n) : store_referrer(w->f, "app", "s", n);
        assert_true(lists(w->f, "s", &digest));
    }
    return NULL;
}

static void those_that_push_and_list_at_once_see_their_own(void **state)
{
    struct fixture *f = *state;
    struct fixture copies[THREADS];
    struct worker workers[THREADS];
    push_text(f, "app", EMPTY);
    for (int i = 0; i < THREADS; i++) {
        copies[i] = *f;
        workers[i] = (struct worker){.f = &copies[i], .first = i * EACH};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, push_and_list, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    assert_int_equal(count(f, "s", all), THREADS * EACH);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_descriptor_has_what_the_specification_wants),
        TEST(types_filter),
        TEST(pages_go_through_both_algorithms),
        TEST(nothing_is_read_for_a_push_of_our_own),
        TEST(what_others_stored_is_read_once),
        TEST(who_removes_a_link_removes_it_from_the_list),
        TEST(bytes_that_are_gone_or_damaged_are_not_listed_until_they_are_back),
        TEST(many_directories_without_bytes_cost_little),
        TEST(notes_outlive_the_process),
        TEST(notes_that_cannot_be_believed_are_made_anew),
        TEST(nothing_is_written_when_that_is_forbidden_or_fails),
        TEST(a_list_that_cannot_be_known_is_an_error),
        TEST(what_is_no_manifest_is_passed_by),
        TEST(those_that_push_and_list_at_once_see_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
