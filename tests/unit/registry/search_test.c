/* SPDX-License-Identifier: Apache-2.0 */
/* Searching (search.c), and describing what was found (describe.c). */
#include "fixture.h"

#include <time.h>

#include "base/mem.h"

#define HOUR_MS (3600 * 1000)

struct found {
    struct rs_buf rows; /* "repository" or "repository:tag", each followed by a space */
    int room;           /* rows that a page has */
};

static bool find(void *ctx, rs_str repository, rs_str tag)
{
    struct found *f = ctx;
    if (f->room-- == 0)
        return false;
    rs_buf_add(&f->rows, repository);
    if (tag.len > 0) {
        rs_buf_add_char(&f->rows, ':');
        rs_buf_add(&f->rows, tag);
    }
    rs_buf_add_char(&f->rows, ' ');
    return true;
}

/* Page by page, each of `room` rows, until nothing is left; *out_pages says how many there were. */
static void assert_search(struct fixture *f, const char *part, int room, int64_t time_ms, const char *want,
                          int *out_pages)
{
    struct rs_search search = {.time_ms = time_ms};
    struct found found = {0};
    rs_buf_init(&found.rows, 1024 * 1024);
    *out_pages = 0;
    do {
        found.room = room;
        assert_ok(f, rs_search(f->registry, rs_str_c(part), &search, find, &found, &f->err));
        assert_true(++*out_pages < 1000);
    } while (search.unfinished);
    assert_string_equal(rs_buf_z(&found.rows), want);
    rs_buf_release(&found.rows);
}

static void make_tag(struct fixture *f, const char *repository, const char *tag)
{
    char path[512];
    snprintf(path, sizeof path, "repositories/%s/_manifests/tags/%s/current/link", repository, tag);
    fixture_write_c(f, path, "sha256:…");
}

static void make_some(struct fixture *f)
{
    make_tag(f, "app", "1.0");
    make_tag(f, "app", "Latest");
    make_tag(f, "team/app", "1.0");
    make_tag(f, "team/app", "1.1");
    make_tag(f, "team/app", "app-2");
    make_tag(f, "team/web", "1.0");
    fixture_write_c(f, "repositories/team/app/_manifests/tags/1.2/index/x", ""); /* no current/link: no tag */
}

static void test_parts_of_names(void **state)
{
    struct fixture *f = *state;
    int pages;
    make_some(f);
    assert_search(f, "app", 100, HOUR_MS, "app team/app team/app:app-2 ", &pages);
    assert_int_equal(pages, 1);
    assert_search(f, "1.0", 100, HOUR_MS, "app:1.0 team/app:1.0 team/web:1.0 ", &pages);
    assert_search(f, "team/", 100, HOUR_MS, "team/app team/web ", &pages);
    assert_search(f, "LATEST", 100, HOUR_MS, "app:Latest ", &pages);
    assert_search(f, "nothing-like-it", 100, HOUR_MS, "", &pages);
}

static void test_repository_and_tag(void **state)
{
    struct fixture *f = *state;
    int pages;
    make_some(f);
    assert_search(f, "app:1", 100, HOUR_MS, "app:1.0 team/app:1.0 team/app:1.1 ", &pages);
    assert_search(f, "team/app:1.1", 100, HOUR_MS, "team/app:1.1 ", &pages);
    assert_search(f, "web:", 100, HOUR_MS, "team/web:1.0 ", &pages);
    assert_search(f, ":1.0", 100, HOUR_MS, "app:1.0 team/app:1.0 team/web:1.0 ", &pages);
    assert_search(f, "ap:1", 100, HOUR_MS, "", &pages);
}

#define EVERYTHING "app team/app team/web app:1.0 app:Latest team/app:1.0 team/app:1.1 team/app:app-2 team/web:1.0 "

static void test_pages_of_any_size_make_the_whole(void **state)
{
    struct fixture *f = *state;
    int pages;
    make_some(f);
    for (int room = 1; room <= 9; room++) {
        assert_search(f, "", room, HOUR_MS, EVERYTHING, &pages);
        assert_in_range(pages, (9 + room - 1) / room, 9 / room + 1);
    }
}

/* Each call gets somewhere, however little time it has. */
static void test_no_time_at_all(void **state)
{
    struct fixture *f = *state;
    int pages;
    make_some(f);
    assert_search(f, "", 100, 0, EVERYTHING, &pages);
    assert_true(pages > 2);
    assert_search(f, "web", 100, 0, "team/web ", &pages);
    assert_true(pages > 2);
}

static bool find_slowly(void *ctx, rs_str repository, rs_str tag)
{
    const struct timespec while_it_reads = {.tv_nsec = 60 * 1000 * 1000};
    nanosleep(&while_it_reads, NULL);
    return find(ctx, repository, tag);
}

/* What is told of one tag may take all the time there is: the next tag is another request's. */
static void test_telling_takes_time_too(void **state)
{
    struct fixture *f = *state;
    struct rs_search search = {.time_ms = 50};
    struct found found = {.room = 100};
    make_some(f);
    rs_buf_init(&found.rows, 1024);
    assert_ok(f, rs_search(f->registry, RS_STR("team/app:"), &search, find_slowly, &found, &f->err));
    assert_string_equal(rs_buf_z(&found.rows), "team/app:1.0 ");
    assert_true(search.unfinished);
    rs_buf_clear(&found.rows);
    assert_ok(f, rs_search(f->registry, RS_STR("team/app:"), &search, find_slowly, &found, &f->err));
    assert_string_equal(rs_buf_z(&found.rows), "team/app:1.1 ");
    rs_buf_release(&found.rows);
}

static void test_storage_that_fails(void **state)
{
    struct fixture *f = *state;
    struct rs_search search = {.time_ms = HOUR_MS};
    struct found found = {.room = 100};
    make_some(f);
    rs_buf_init(&found.rows, 1024);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:error=IO"), &f->err));
    assert_rc(f, RS_E_IO, rs_search(f->registry, RS_STR("app"), &search, find, &found, &f->err));
    rs_buf_release(&found.rows);
}

/* --- describing --- */

static const char config[] = "{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v7\"}";

static void assert_platforms(const struct rs_image_summary *image, const char *first, const char *second)
{
    size_t count = (first != NULL) + (second != NULL);
    assert_int_equal(image->platform_count, count);
    if (first != NULL)
        assert_true(rs_str_eq_c(image->platforms[0], first));
    if (second != NULL)
        assert_true(rs_str_eq_c(image->platforms[1], second));
}

static void test_an_image(void **state)
{
    struct fixture *f = *state;
    struct rs_image_summary image;
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    const char *layers[] = {"layer"};
    struct rs_digest digest = push_image(f, "r", "t", config, "layer");
    char *json = image_json(config, layers, 1);
    assert_ok(f, rs_image_describe(f->registry, RS_STR("r"), RS_STR("t"), arena, &image, &f->err));
    assert_true(rs_digest_eq(&image.digest, &digest));
    assert_int_equal(image.size, strlen(json) + strlen(config) + strlen("layer"));
    assert_int_equal(image.artifact_type.len, 0);
    assert_platforms(&image, "linux/arm/v7", NULL);
    assert_true(image.pushed_s > 1700000000);
    free(json);
    assert_rc(f, RS_E_MANIFEST_UNKNOWN,
              rs_image_describe(f->registry, RS_STR("r"), RS_STR("other"), arena, &image, &f->err));
}

/* One child is of another platform, one is that of the first again, one is not here. */
static void test_an_index(void **state)
{
    static const char other[] = "{\"architecture\":\"amd64\",\"os\":\"linux\"}";
    struct fixture *f = *state;
    struct rs_image_summary image;
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    const char *layers[] = {"layer"};
    char *arm = image_json(config, layers, 1), *amd = image_json(other, layers, 1), json[2048];
    struct rs_digest a = push_image(f, "r", "a", config, "layer"), b = push_image(f, "r", "b", other, "layer");
    int len = snprintf(json, sizeof json,
                       "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":["
                       "{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu},"
                       "{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}]}",
                       a.text, strlen(arm), b.text, strlen(amd));
    assert_ok(f, try_put(f, "r", "both", json, NULL));
    assert_ok(f, rs_image_describe(f->registry, RS_STR("r"), RS_STR("both"), arena, &image, &f->err));
    assert_platforms(&image, "linux/arm/v7", "linux/amd64");
    assert_int_equal(image.size, (size_t)len + strlen(arm) + strlen(amd) + strlen(config) + strlen(other) + 10);
    assert_true(rs_str_eq_c(image.media_type, RS_MEDIA_OCI_INDEX));
    fixture_remove(f, "repositories/r/_manifests/revisions");
    free(arm);
    free(amd);
}

#define BIG (2 * 1024 * 1024 + 1000) /* two of them are more than is read for one index */

/* An image manifest of BIG bytes, which a note makes one of its own. */
static struct rs_digest push_big(struct fixture *f, int number)
{
    struct rs_digest digest;
    const struct rs_digest config_digest = push_blob(f, "r", config, strlen(config));
    char *json = rs_malloc(BIG + 1);
    int len = snprintf(json, BIG,
                       "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"config\":{\"mediaType\":"
                       "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[],"
                       "\"annotations\":{\"number\":\"%d\"}",
                       config_digest.text, strlen(config), number);
    memset(json + len, ' ', BIG - (size_t)len);
    memcpy(json + BIG - 1, "}", 2);
    assert_ok(f, try_put(f, "r", "big", json, &digest));
    free(json);
    return digest;
}

/* An index may name many manifests of some MiB each: no request reads them all. */
static void test_an_index_of_big_manifests(void **state)
{
    struct fixture *f = *state;
    struct rs_image_summary image;
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    RS_AUTO(rs_buf_release) struct rs_buf json;
    rs_buf_init(&json, 64 * 1024);
    rs_buf_add_c(&json, "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":[");
    for (int i = 0; i < 4; i++)
        rs_buf_printf(&json, "%s{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%d}",
                      i > 0 ? "," : "", push_big(f, i).text, BIG);
    rs_buf_add_c(&json, "]}");
    assert_ok(f, try_put(f, "r", "all", rs_buf_z(&json), NULL));
    assert_ok(f, rs_image_describe(f->registry, RS_STR("r"), RS_STR("all"), arena, &image, &f->err));
    assert_int_equal(image.size, json.len + 2 * (BIG + strlen(config)));
    assert_platforms(&image, "linux/arm/v7", NULL);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_parts_of_names),
        TEST(test_repository_and_tag),
        TEST(test_pages_of_any_size_make_the_whole),
        TEST(test_no_time_at_all),
        TEST(test_telling_takes_time_too),
        TEST(test_storage_that_fails),
        TEST(test_an_image),
        TEST(test_an_index),
        TEST(test_an_index_of_big_manifests),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
