/* SPDX-License-Identifier: Apache-2.0 */
/* What stored manifests of all ages need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "oci/manifest.h"

#define DIGEST(c) "sha256:" c c c c c c c c c c c c c c c c
#define A DIGEST("aaaa")
#define B DIGEST("bbbb")
#define C DIGEST("cccc")
#define S DIGEST("5555")
#define LONG                                                                                                           \
    "sha512:"                                                                                                          \
    "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"                                                 \
    "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
#define D(digest) "{\"mediaType\":\"x/y\",\"digest\":\"" digest "\",\"size\":3}"

static struct rs_err err;
static struct rs_buf told;
static struct rs_arena *arena;

static int setup(void **state)
{
    (void)state;
    rs_buf_init(&told, 1 << 20);
    arena = rs_arena_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rs_buf_release(&told);
    rs_arena_free(&arena);
    return 0;
}

/* "c:aaaa": role and the first digits. */
static void tell(void *ctx, enum rs_descriptor_role role, const struct rs_digest *digest)
{
    (void)ctx;
    rs_buf_printf(&told, "%s%c:%.4s", told.len > 0 ? " " : "", "clms"[role], rs_digest_hex(digest));
}

static void needs(const char *json, const char *want)
{
    rs_buf_clear(&told);
    if (rs_manifest_needs(rs_str_c(json), arena, tell, NULL, &err) != RS_OK)
        fail_msg("%s: %s", json, err.text);
    assert_string_equal(told.len > 0 ? rs_buf_z(&told) : "", want);
}

static void refused(const char *json, const char *why)
{
    err.text[0] = '\0';
    assert_int_equal(rs_manifest_needs(rs_str_c(json), arena, tell, NULL, &err), RS_E_INVALID);
    if (strstr(err.text, why) == NULL)
        fail_msg("%s: \"%s\" instead of \"%s\"", json, err.text, why);
    assert_int_equal(rs_manifest_needs(rs_str_c(json), arena, tell, NULL, NULL), RS_E_INVALID);
}

static void an_image_needs_config_and_layers(void **state)
{
    (void)state;
    needs("{\"schemaVersion\":2,\"config\":" D(A) ",\"layers\":[" D(B) "," D(C) "]}", "c:aaaa l:bbbb l:cccc");
    needs("{\"mediaType\":\"" RS_MEDIA_DOCKER_MANIFEST "\",\"config\":" D(A) ",\"layers\":null}", "c:aaaa");
    needs("{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"config\":" D(A) ",\"layers\":[" D(LONG) "]}",
          "c:aaaa l:eeee");
}

static void an_index_needs_what_it_names(void **state)
{
    (void)state;
    needs("{\"schemaVersion\":2,\"manifests\":[" D(B) "," D(C) "]}", "m:bbbb m:cccc");
    needs("{\"mediaType\":\"" RS_MEDIA_DOCKER_LIST "\",\"manifests\":[" D(B) "]}", "m:bbbb");
    needs("{\"schemaVersion\":2,\"manifests\":null}", "");
    needs("{\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\"}", "");
}

static void a_subject_is_told_apart(void **state)
{
    (void)state;
    needs("{\"schemaVersion\":2,\"config\":" D(A) ",\"layers\":[],\"subject\":" D(S) "}", "c:aaaa s:5555");
    needs("{\"schemaVersion\":2,\"manifests\":[],\"subject\":null}", "");
}

static void an_artifact_manifest_needs_its_blobs(void **state)
{
    (void)state;
    needs("{\"mediaType\":\"application/vnd.oci.artifact.manifest.v1+json\",\"blobs\":[" D(B) "],\"subject\":" D(S) "}",
          "l:bbbb s:5555");
    needs("{\"mediaType\":\"application/vnd.oci.artifact.manifest.v1+json\",\"subject\":" D(S) "}", "s:5555");
}

static void schema_1_needs_its_layers(void **state)
{
    (void)state;
    needs("{\"schemaVersion\":1,\"fsLayers\":[{\"blobSum\":\"" A "\"},{\"blobSum\":\"" A "\"}],\"history\":[{}]}",
          "l:aaaa l:aaaa");
    needs("{\"schemaVersion\":1,\"fsLayers\":[{\"blobSum\":\"" B "\"}],\"signatures\":[{\"header\":{}}]}", "l:bbbb");
}

/* What Go's decoder, and with it registry:2, took for the same. */
static void other_spellings_count(void **state)
{
    (void)state;
    needs("{\"schemaVersion\":2,\"Config\":{\"DIGEST\":\"" A "\"},\"LAYERS\":[{\"Digest\":\"" B "\"}]}",
          "c:aaaa l:bbbb");
    needs("{\"fsLayer\xc5\xbf\":[{\"blob\xc5\xbfum\":\"" C "\"}]}", "l:cccc");
    needs("{\"layers\":[" D(A) "],\"Layers\":[" D(B) "],\"manifests\":[" D(C) "]}", "l:aaaa l:bbbb m:cccc");
}

/* Whatever a push may have, so that nobody can stop the collection. */
static void what_can_be_pushed_is_understood(void **state)
{
    (void)state;
    needs("{\"schemaVersion\":2,\"config\":" D(A) ",\"layers\":[],\"fsLayers\":7,\"blobs\":[7]}", "c:aaaa");
    needs("{\"schemaVersion\":2,\"manifests\":[" D(B) "],\"fsLayers\":[{}],\"blobs\":{},\"blobs \":1}", "m:bbbb");
}

static void what_is_not_understood_is_an_error(void **state)
{
    (void)state;
    refused("", "line");
    refused("{", "line");
    refused("[]", "not a JSON object");
    refused("{}", "neither");
    refused("{\"schemaVersion\":2,\"subject\":" D(S) "}", "neither");
    refused("{\"mediaType\":\"application/x\",\"layers\":[]}", "application/x");
    refused("{\"mediaType\":7,\"layers\":[]}", "mediaType");
    refused("{\"layers\":{}}", "layers is not an array");
    refused("{\"layers\":[null]}", "something else than an object");
    refused("{\"layers\":[{}]}", "a digest is missing");
    refused("{\"layers\":[{\"digest\":7}]}", "digest is not a string");
    refused("{\"layers\":[{\"digest\":\"sha384:00\"}]}", "layers: digest:");
    refused("{\"config\":[]}", "something else than an object");
    refused("{\"fsLayers\":[{\"digest\":\"" A "\"}]}", "a blobSum is missing");
    refused("{\"layers\":[],\"layers\":[" D(A) "]}", "line");
}

static void a_document_that_is_too_large_is_an_error(void **state)
{
    (void)state;
    char *large = rs_malloc(RS_MANIFEST_MAX + 2);
    memset(large, ' ', RS_MANIFEST_MAX + 1);
    large[RS_MANIFEST_MAX + 1] = '\0';
    refused(large, "bytes");
    memset(large, '[', 100);
    large[100] = '\0';
    refused(large, "deep");
    free(large);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_image_needs_config_and_layers),
        TEST(an_index_needs_what_it_names),
        TEST(a_subject_is_told_apart),
        TEST(an_artifact_manifest_needs_its_blobs),
        TEST(schema_1_needs_its_layers),
        TEST(other_spellings_count),
        TEST(what_can_be_pushed_is_understood),
        TEST(what_is_not_understood_is_an_error),
        TEST(a_document_that_is_too_large_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
