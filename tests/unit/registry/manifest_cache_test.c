/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <pthread.h>

#include "base/mem.h"
#include "registry/manifest_cache.h"

static const struct rs_manifest_doc *add(struct rs_manifest_cache *cache, const char *text)
{
    struct rs_digest digest = digest_of(text);
    return rs_manifest_cache_add(cache, &digest, rs_str_c(text), RS_STR("type/x"));
}

static void add_and_drop(struct rs_manifest_cache *cache, const char *text)
{
    const struct rs_manifest_doc *doc = add(cache, text);
    rs_manifest_doc_unref(&doc);
}

static bool has(struct rs_manifest_cache *cache, const char *text)
{
    struct rs_digest digest = digest_of(text);
    const struct rs_manifest_doc *doc = rs_manifest_cache_find(cache, &digest);
    bool found = doc != NULL;
    if (found)
        assert_true(rs_str_eq_c(doc->bytes, text));
    rs_manifest_doc_unref(&doc);
    return found;
}

static void test_find_and_add(void **state)
{
    (void)state;
    struct rs_manifest_cache *cache = rs_manifest_cache_new(1024 * 1024);
    assert_false(has(cache, "one"));
    assert_int_equal(rs_manifest_cache_bytes(cache), 0);
    const struct rs_manifest_doc *first = add(cache, "one");
    assert_true(rs_str_eq_c(first->bytes, "one"));
    assert_true(rs_str_eq_c(first->media_type, "type/x"));
    assert_string_equal(first->digest.text, digest_of("one").text);
    const struct rs_manifest_doc *again = add(cache, "one");
    assert_ptr_equal(first, again);
    assert_true(has(cache, "one"));
    assert_false(has(cache, "two"));
    rs_manifest_doc_unref(&again);
    rs_manifest_cache_free(&cache);
    assert_null(cache);
    assert_true(rs_str_eq_c(first->bytes, "one")); /* outlives the cache while it is referenced */
    rs_manifest_doc_unref(&first);
}

static void number(char text[1001], int i)
{
    memset(text, '.', 1000);
    text[1000] = '\0';
    text[snprintf(text, 1000, "%d", i)] = '.';
}

static void test_ceiling_and_order(void **state)
{
    (void)state;
    enum { LIMIT = 64 * 1024 };
    char text[1001];
    struct rs_manifest_cache *cache = rs_manifest_cache_new(LIMIT);
    add_and_drop(cache, "favourite");
    number(text, 0);
    const struct rs_manifest_doc *held = add(cache, text);
    for (int i = 1; i < 1000; i++) {
        number(text, i);
        add_and_drop(cache, text);
        assert_true(has(cache, text));
        assert_true(has(cache, "favourite")); /* what is used stays */
        assert_true(rs_manifest_cache_bytes(cache) <= LIMIT);
    }
    assert_true(rs_manifest_cache_bytes(cache) > LIMIT / 2);
    number(text, 0);
    assert_false(has(cache, text));
    assert_true(rs_str_eq_c(held->bytes, text)); /* displaced, but its reader keeps it */
    rs_manifest_doc_unref(&held);
    rs_manifest_cache_free(&cache);
}

static void test_too_large_is_not_kept(void **state)
{
    (void)state;
    char text[1001];
    struct rs_manifest_cache *cache = rs_manifest_cache_new(2000);
    number(text, 1);
    const struct rs_manifest_doc *doc = add(cache, text);
    assert_true(rs_str_eq_c(doc->bytes, text));
    assert_int_equal(rs_manifest_cache_bytes(cache), 0);
    assert_false(has(cache, text));
    rs_manifest_doc_unref(&doc);
    rs_manifest_cache_free(&cache);

    cache = rs_manifest_cache_new(0);
    add_and_drop(cache, "x");
    assert_false(has(cache, "x"));
    rs_manifest_cache_free(&cache);
}

static void *hammer(void *arg)
{
    struct rs_manifest_cache *cache = arg;
    char text[1001];
    unsigned seed = (unsigned)(uintptr_t)&text;
    for (int i = 0; i < 20000; i++) {
        number(text, rand_r(&seed) % 64);
        struct rs_digest digest = digest_of(text);
        const struct rs_manifest_doc *doc = rs_manifest_cache_find(cache, &digest);
        if (doc == NULL)
            doc = rs_manifest_cache_add(cache, &digest, rs_str_c(text), RS_STR("t"));
        if (!rs_str_eq_c(doc->bytes, text) || !rs_digest_eq(&doc->digest, &digest))
            return cache; /* anything but NULL: wrong bytes */
        rs_manifest_doc_unref(&doc);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    struct rs_manifest_cache *cache = rs_manifest_cache_new(32 * 1024); /* half of them fit */
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
    for (int i = 0; i < THREADS; i++) {
        void *complaint;
        pthread_join(threads[i], &complaint);
        assert_null(complaint);
    }
    assert_true(rs_manifest_cache_bytes(cache) <= 32 * 1024);
    rs_manifest_cache_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_and_add),
        cmocka_unit_test(test_ceiling_and_order),
        cmocka_unit_test(test_too_large_is_not_kept),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
