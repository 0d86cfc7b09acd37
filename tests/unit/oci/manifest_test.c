/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "oci/manifest.h"

#define DIGEST(c) "sha256:" c c c c c c c c c c c c c c c c
#define A DIGEST("aaaa")
#define B DIGEST("bbbb")
#define C DIGEST("cccc")
#define DESC(type, digest, size) "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define CONFIG "\"config\":" DESC("application/vnd.oci.image.config.v1+json", A, "7")
#define LAYER DESC("application/vnd.oci.image.layer.v1.tar+gzip", B, "9007199254740993")
#define IMAGE(more) "{\"schemaVersion\":2," CONFIG more "}"
#define INDEX(more) "{\"schemaVersion\":2,\"manifests\":[" DESC(RS_MEDIA_OCI_MANIFEST, C, "12") "]" more "}"

static struct rs_arena *arena;
static struct rs_manifest m;
static struct rs_err err;

static int setup(void **state)
{
    (void)state;
    arena = rs_arena_new();
    m = (struct rs_manifest){.descriptor_count = 4711};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rs_arena_free(&arena);
    return 0;
}

static rs_rc parse(const char *json, const char *content_type)
{
    return rs_manifest_parse(rs_str_c(json), rs_str_c(content_type), arena, &m, &err);
}

/* Refused as invalid with a text that holds `why`; nothing is written; also without an error to write to. */
static void refused(const char *json, const char *content_type, const char *why)
{
    m = (struct rs_manifest){.descriptor_count = 4711};
    err.text[0] = '\0';
    if (parse(json, content_type) != RS_E_MANIFEST_INVALID || strstr(err.text, why) == NULL)
        fail_msg("%s\n(%s): \"%s\" instead of \"%s\"", json, content_type, err.text, why);
    assert_int_equal(m.descriptor_count, 4711);
    assert_int_equal(rs_manifest_parse(rs_str_c(json), rs_str_c(content_type), arena, &m, NULL), RS_E_MANIFEST_INVALID);
}

static void accepted(const char *json, const char *content_type, const char *media_type)
{
    if (parse(json, content_type) != RS_OK)
        fail_msg("%s\n(%s): %s", json, content_type, err.text);
    assert_true(rs_str_eq_c(m.media_type, media_type));
}

static void an_oci_image(void **state)
{
    (void)state;
    accepted(IMAGE(",\"layers\":[" LAYER "," LAYER "]"), RS_MEDIA_OCI_MANIFEST, RS_MEDIA_OCI_MANIFEST);
    assert_int_equal(m.kind, RS_MANIFEST_IMAGE);
    assert_int_equal(m.descriptor_count, 3);
    assert_int_equal(m.descriptors[0].role, RS_ROLE_CONFIG);
    assert_string_equal(m.descriptors[0].digest.text, A);
    assert_int_equal(m.descriptors[0].size, 7);
    assert_true(rs_str_eq_c(m.descriptors[0].media_type, "application/vnd.oci.image.config.v1+json"));
    assert_int_equal(m.descriptors[2].role, RS_ROLE_LAYER);
    assert_string_equal(m.descriptors[2].digest.text, B);
    assert_true(m.descriptors[2].size == 9007199254740993); /* no way through a double */
    assert_false(m.descriptors[2].foreign);
    assert_int_equal(m.descriptors[2].url_count, 0);
    assert_false(m.has_subject);
    assert_true(rs_str_eq_c(m.artifact_type, "application/vnd.oci.image.config.v1+json"));
}

static void an_oci_index(void **state)
{
    (void)state;
    accepted(INDEX(""), RS_MEDIA_OCI_INDEX, RS_MEDIA_OCI_INDEX);
    assert_int_equal(m.kind, RS_MANIFEST_INDEX);
    assert_int_equal(m.descriptor_count, 1);
    assert_int_equal(m.descriptors[0].role, RS_ROLE_MANIFEST);
    assert_string_equal(m.descriptors[0].digest.text, C);
    assert_int_equal(m.artifact_type.len, 0);
    accepted("{\"schemaVersion\":2,\"manifests\":[]}", "", RS_MEDIA_OCI_INDEX);
    assert_int_equal(m.descriptor_count, 0);
    accepted("{\"schemaVersion\":2,\"manifests\":null}", "", RS_MEDIA_OCI_INDEX);
    assert_int_equal(m.descriptor_count, 0);
}

static void dockers_types(void **state)
{
    (void)state;
    accepted(IMAGE(",\"layers\":[],\"mediaType\":\"" RS_MEDIA_DOCKER_MANIFEST "\""), RS_MEDIA_DOCKER_MANIFEST,
             RS_MEDIA_DOCKER_MANIFEST);
    assert_int_equal(m.kind, RS_MANIFEST_IMAGE);
    accepted(INDEX(",\"mediaType\":\"" RS_MEDIA_DOCKER_LIST "\""), "", RS_MEDIA_DOCKER_LIST);
    assert_int_equal(m.kind, RS_MANIFEST_INDEX);
    refused(IMAGE(""), RS_MEDIA_DOCKER_MANIFEST, "must have it as its mediaType");
    refused(INDEX(""), RS_MEDIA_DOCKER_LIST, "must have it as its mediaType");
}

static void schema_1_is_recognised(void **state)
{
    (void)state;
    const char *plain = "{\"schemaVersion\":1,\"name\":\"a\",\"fsLayers\":[],\"history\":[]}";
    const char *is_signed = "{\"schemaVersion\":1,\"fsLayers\":[{}],\"signatures\":[{}]}";
    accepted(plain, "", RS_MEDIA_DOCKER_SCHEMA1);
    assert_int_equal(m.kind, RS_MANIFEST_SCHEMA1);
    assert_int_equal(m.descriptor_count, 0);
    accepted(is_signed, "", RS_MEDIA_DOCKER_SCHEMA1_SIGNED);
    accepted(plain, "application/json", RS_MEDIA_DOCKER_SCHEMA1);
    accepted(is_signed, RS_MEDIA_DOCKER_SCHEMA1_SIGNED, RS_MEDIA_DOCKER_SCHEMA1_SIGNED);
    refused(plain, RS_MEDIA_OCI_MANIFEST, "schemaVersion must be 2");
    refused(IMAGE(""), RS_MEDIA_DOCKER_SCHEMA1, "schemaVersion must be 1");
}

static void artifacts(void **state)
{
    (void)state;
    accepted(IMAGE(""), "", RS_MEDIA_OCI_MANIFEST);
    assert_int_equal(m.descriptor_count, 1);
    accepted(IMAGE(",\"layers\":null"), "", RS_MEDIA_OCI_MANIFEST);
    accepted(IMAGE(",\"layers\":[],\"artifactType\":\"application/x\""), "", RS_MEDIA_OCI_MANIFEST);
    assert_true(rs_str_eq_c(m.artifact_type, "application/x"));
    accepted(INDEX(",\"artifactType\":\"application/y\""), "", RS_MEDIA_OCI_INDEX);
    assert_true(rs_str_eq_c(m.artifact_type, "application/y"));
    refused(IMAGE(",\"artifactType\":1"), "", "artifactType is not a string");
}

static void subjects(void **state)
{
    (void)state;
    const char *subject = ",\"subject\":" DESC(RS_MEDIA_OCI_MANIFEST, C, "3");
    char json[2000];
    snprintf(json, sizeof json, IMAGE("%s"), subject);
    accepted(json, "", RS_MEDIA_OCI_MANIFEST);
    assert_true(m.has_subject);
    assert_int_equal(m.subject.role, RS_ROLE_SUBJECT);
    assert_string_equal(m.subject.digest.text, C);
    assert_int_equal(m.descriptor_count, 1); /* it is not one of those that must exist */
    snprintf(json, sizeof json, INDEX("%s"), subject);
    accepted(json, "", RS_MEDIA_OCI_INDEX);
    assert_true(m.has_subject);
    accepted(IMAGE(",\"subject\":null"), "", RS_MEDIA_OCI_MANIFEST);
    assert_false(m.has_subject);
    refused(IMAGE(",\"subject\":{}"), "", "subject: digest");
    refused(IMAGE(",\"subject\":[]"), "", "subject is not an object");
}

/* As the list of referrers would show it; NULL: not at all. */
static void listed(const char *json, const char *expected)
{
    struct rs_referrer r;
    char found[2000] = "";
    if (rs_manifest_referrer(rs_str_c(json), arena, &r))
        snprintf(found, sizeof found, "%.9s " RS_STR_FMT " " RS_STR_FMT " " RS_STR_FMT, r.subject.text,
                 RS_STR_ARG(r.media_type), RS_STR_ARG(r.artifact_type), RS_STR_ARG(r.annotations));
    if (strcmp(found, expected != NULL ? expected : "") != 0)
        fail_msg("%s\n\"%s\" instead of \"%s\"", json, found, expected != NULL ? expected : "");
}

#define SUBJECT ",\"subject\":" DESC(RS_MEDIA_OCI_MANIFEST, C, "3")
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"

static void referrers(void **state)
{
    (void)state;
    listed(IMAGE(SUBJECT), "sha256:cc " RS_MEDIA_OCI_MANIFEST " " CONFIG_TYPE " ");
    listed(IMAGE(SUBJECT ",\"artifactType\":\"\""), "sha256:cc " RS_MEDIA_OCI_MANIFEST " " CONFIG_TYPE " ");
    listed(IMAGE(SUBJECT ",\"artifactType\":\"a/b\""), "sha256:cc " RS_MEDIA_OCI_MANIFEST " a/b ");
    listed(INDEX(SUBJECT), "sha256:cc " RS_MEDIA_OCI_INDEX "  ");
    listed(INDEX(SUBJECT ",\"artifactType\":\"a/b\""), "sha256:cc " RS_MEDIA_OCI_INDEX " a/b ");
    listed(IMAGE(""), NULL);
    listed(IMAGE(",\"subject\":null"), NULL);
    listed(IMAGE(SUBJECT ",\"mediaType\":\"" RS_MEDIA_DOCKER_MANIFEST "\""), NULL);
    listed(INDEX(SUBJECT ",\"mediaType\":\"" RS_MEDIA_DOCKER_LIST "\""), NULL);
    listed("{\"schemaVersion\":1" SUBJECT "}", NULL);
}

static void annotations_of_referrers(void **state)
{
    (void)state;
    listed(IMAGE(SUBJECT ",\"annotations\":{}"), "sha256:cc " RS_MEDIA_OCI_MANIFEST " " CONFIG_TYPE " ");
    listed(INDEX(SUBJECT ",\"annotations\": {\"b\" : \"1\",\n\"a\":\"\\u00e9\\n\\\"/\"}"),
           "sha256:cc " RS_MEDIA_OCI_INDEX "  {\"b\":\"1\",\"a\":\"\xc3\xa9\\n\\\"/\"}");
    /* Clients decode strings only. */
    listed(INDEX(SUBJECT ",\"annotations\":{\"a\":1,\"b\":\"2\",\"c\":{}}"),
           "sha256:cc " RS_MEDIA_OCI_INDEX "  {\"b\":\"2\"}");
    listed(INDEX(SUBJECT ",\"annotations\":[\"a\"]"), "sha256:cc " RS_MEDIA_OCI_INDEX "  ");
}

/* registry:2 may have accepted them; only the subject counts. */
static void referrers_that_would_be_refused_today(void **state)
{
    (void)state;
    listed("{" CONFIG SUBJECT "}", "sha256:cc " RS_MEDIA_OCI_MANIFEST " " CONFIG_TYPE " ");
    listed(IMAGE(",\"Layers\":1" SUBJECT ",\"artifactType\":7"),
           "sha256:cc " RS_MEDIA_OCI_MANIFEST " " CONFIG_TYPE " ");
    listed("{\"config\":[]" SUBJECT "}", "sha256:cc " RS_MEDIA_OCI_MANIFEST "  ");
    listed(IMAGE(",\"subject\":{}"), NULL);
    listed(IMAGE(",\"subject\":{\"digest\":\"sha256:0\"}"), NULL);
    listed(IMAGE(",\"subject\":\"" C "\""), NULL);
    listed(IMAGE(SUBJECT ",\"mediaType\":\"text/plain\""), NULL);
    listed("[]", NULL);
    listed("{\"subject\"", NULL);
    listed("", NULL);
}

static void foreign_layers(void **state)
{
    (void)state;
    static const char *const types[] = {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                                        "application/vnd.oci.image.layer.nondistributable.v1.tar",
                                        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                                        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"};
    for (size_t i = 0; i < RS_COUNT(types); i++) {
        char json[2000];
        snprintf(json, sizeof json,
                 IMAGE(",\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"" B
                       "\",\"size\":1,\"urls\":[\"https://a/b\",\"https://c\"]}]"),
                 types[i]);
        accepted(json, "", RS_MEDIA_OCI_MANIFEST);
        assert_true(m.descriptors[1].foreign);
        assert_int_equal(m.descriptors[1].url_count, 2);
        assert_true(rs_str_eq_c(m.descriptors[1].urls[1], "https://c"));
    }
    /* Where would Docker's be fetched from? OCI's "SHOULD NOT" be uploaded in any case. */
    accepted(IMAGE(",\"layers\":[" DESC("application/vnd.docker.image.rootfs.foreign.diff.tar", B, "1") "]"), "",
             RS_MEDIA_OCI_MANIFEST);
    assert_false(m.descriptors[1].foreign);
    accepted(IMAGE(",\"layers\":[" DESC("application/vnd.oci.image.layer.nondistributable.v1.tar", B, "1") "]"), "",
             RS_MEDIA_OCI_MANIFEST);
    assert_true(m.descriptors[1].foreign);
    /* Only a layer is foreign: a config of that type must still be there. */
    accepted(
        "{\"schemaVersion\":2,\"config\":" DESC("application/vnd.oci.image.layer.nondistributable.v1.tar", A, "1") "}",
        "", RS_MEDIA_OCI_MANIFEST);
    assert_false(m.descriptors[0].foreign);
}

static void content_types(void **state)
{
    (void)state;
    const char *typed = IMAGE(",\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\"");
    accepted(typed, RS_MEDIA_OCI_MANIFEST "; charset=utf-8", RS_MEDIA_OCI_MANIFEST);
    accepted(typed, " Application/Vnd.OCI.image.manifest.v1+JSON ;x", RS_MEDIA_OCI_MANIFEST);
    accepted(typed, "application/json", RS_MEDIA_OCI_MANIFEST);
    accepted(typed, "", RS_MEDIA_OCI_MANIFEST);
    accepted(typed, "; charset=utf-8", RS_MEDIA_OCI_MANIFEST);
    accepted(IMAGE(",\"mediaType\":\"\""), "", RS_MEDIA_OCI_MANIFEST);
    accepted(IMAGE(",\"mediaType\":null"), "", RS_MEDIA_OCI_MANIFEST);
    refused(typed, RS_MEDIA_DOCKER_MANIFEST, "but the manifest's mediaType is " RS_MEDIA_OCI_MANIFEST);
    refused(typed, RS_MEDIA_OCI_INDEX, "but the manifest's mediaType is");
    refused(typed, "text/plain", "Content-Type: \"text/plain\" is not a type");
    refused(typed, "text/plain", RS_MEDIA_DOCKER_LIST); /* the known ones are named */
    refused(IMAGE(",\"mediaType\":\"application/x\""), "", "mediaType: \"application/x\" is not a type");
    refused(IMAGE(",\"mediaType\":\"application/x\""), "application/x", "is not a type");
    refused(IMAGE(",\"mediaType\":7"), "", "mediaType is not a string");
    refused("{\"schemaVersion\":2}", "", "its type is unknown");
}

/* CVE-2021-41190: what is an image to one reader must not be an index to another. */
static void ambiguous_documents(void **state)
{
    (void)state;
    refused(INDEX(",\"layers\":[]"), "", "both");
    refused(INDEX(",\"layers\":null"), "", "both");
    refused(INDEX("," CONFIG), RS_MEDIA_OCI_INDEX, "both");
    refused(INDEX("," CONFIG), RS_MEDIA_OCI_MANIFEST, "both");
    refused(INDEX(""), RS_MEDIA_OCI_MANIFEST, "must not have manifests");
    refused(IMAGE(""), RS_MEDIA_OCI_INDEX, "must not have config or layers");
    refused("{\"schemaVersion\":2,\"layers\":[]}", "", "config is missing");
    refused("{\"schemaVersion\":2}", RS_MEDIA_OCI_MANIFEST, "config is missing");
    refused("{\"schemaVersion\":2,\"config\":null}", "", "config is missing");
    refused("{\"schemaVersion\":2}", RS_MEDIA_OCI_INDEX, "manifests is missing");
}

static void members_in_other_cases(void **state)
{
    (void)state;
    refused(IMAGE(",\"Layers\":[]"), "", "\"Layers\" must be written \"layers\"");
    refused(IMAGE(",\"MANIFESTS\":[]"), "", "must be written");
    refused(IMAGE(",\"layer\xc5\xbf\":[]"), "", "must be written \"layers\""); /* long s */
    refused("{\"schemaVersion\":2,\"config\":{\"digest\":\"" A "\",\"Digest\":\"" B "\",\"size\":1}}", "",
            "config: \"Digest\" must be written \"digest\"");
    refused("{\"schemaVersion\":2,\"config\":{\"digest\":\"" A "\",\"\xc5\xbfize\":1,\"size\":1}}", "",
            "must be written \"size\"");
    accepted(IMAGE(",\"layersx\":1,\"layer\":2,\"other\":{\"Digest\":3}"), "", RS_MEDIA_OCI_MANIFEST);
    refused(IMAGE(",\"layers\":[],\"layers\":[]"), "", "duplicate");
    refused("{\"schemaVersion\":2,\"config\":{\"digest\":\"" A "\",\"size\":1,\"size\":2}}", "", "duplicate");
}

static void schema_versions(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "\"schemaVersion\":3,",
                                        "\"schemaVersion\":\"2\",",
                                        "\"schemaVersion\":2.0,",
                                        "\"schemaVersion\":null,",
                                        "\"schemaVersion\":-2,"};
    for (size_t i = 0; i < RS_COUNT(wrong); i++) {
        char json[1000];
        snprintf(json, sizeof json, "{%s" CONFIG "}", wrong[i]);
        refused(json, "", "schemaVersion must be 2");
    }
}

static void wrong_descriptors(void **state)
{
    (void)state;
    static const struct {
        const char *descriptor;
        const char *why;
    } cases[] = {
        {"{}", "layers[1]: digest is missing"},
        {"null", "layers[1] is not an object"},
        {"\"" B "\"", "layers[1] is not an object"},
        {"{\"digest\":7,\"size\":1}", "layers[1]: digest is missing or not a string"},
        {"{\"digest\":\"sha256:12\",\"size\":1}", "layers[1]: digest: \"sha256:12\""},
        {"{\"digest\":\"" B "\"}", "layers[1]: size must be"},
        {"{\"digest\":\"" B "\",\"size\":-1}", "layers[1]: size must be"},
        {"{\"digest\":\"" B "\",\"size\":1.0}", "layers[1]: size must be"},
        {"{\"digest\":\"" B "\",\"size\":\"1\"}", "layers[1]: size must be"},
        {"{\"digest\":\"" B "\",\"size\":1e3}", "layers[1]: size must be"},
        {"{\"digest\":\"" B "\",\"size\":9223372036854775808}", "too big integer"},
        {"{\"mediaType\":1,\"digest\":\"" B "\",\"size\":1}", "layers[1]: mediaType is not a string"},
        {"{\"digest\":\"" B "\",\"size\":1,\"urls\":\"x\"}", "layers[1]: urls is not an array"},
        {"{\"digest\":\"" B "\",\"size\":1,\"urls\":[\"x\",1]}", "layers[1]: urls[1] is not a string"},
        {"{\"digest\":\"" B "\",\"size\":1,\"annotations\":[]}", "layers[1]: annotations is not an object"},
        {"{\"digest\":\"" B "\",\"size\":1,\"annotations\":{\"k\":1}}", "layers[1]: the annotation \"k\""},
    };
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        char json[2000];
        snprintf(json, sizeof json, IMAGE(",\"layers\":[" LAYER ",%s]"), cases[i].descriptor);
        refused(json, RS_MEDIA_OCI_MANIFEST, cases[i].why);
    }
    refused(IMAGE(",\"layers\":{}"), "", "layers is not an array");
    refused("{\"schemaVersion\":2,\"config\":[]}", "", "config is not an object");
    refused("{\"schemaVersion\":2,\"manifests\":{}}", "", "manifests is not an array");
    refused("{\"schemaVersion\":2,\"manifests\":[1]}", "", "manifests[0] is not an object");
    refused(IMAGE(",\"annotations\":{\"a\":null}"), "", "the annotation \"a\" is not a string");
}

static void lenient_where_registry_2_is(void **state)
{
    (void)state;
    accepted("{\"schemaVersion\":2,\"config\":{\"digest\":\"" A "\",\"size\":0,\"urls\":null,\"annotations\":null}}",
             "", RS_MEDIA_OCI_MANIFEST);
    assert_int_equal(m.descriptors[0].media_type.len, 0);
    assert_int_equal(m.descriptors[0].size, 0);
    accepted(IMAGE(",\"annotations\":{\"a\":\"b\"},\"unknown\":[[[{}]]]"), "", RS_MEDIA_OCI_MANIFEST);
    accepted("\n {\"schemaVersion\" : 2 , \"manifests\" : [ ] } \r\n", "", RS_MEDIA_OCI_INDEX);
}

static void no_json(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        " ",
                                        "{",
                                        "}",
                                        "null",
                                        "[]",
                                        "7",
                                        "\"x\"",
                                        "{}x",
                                        "{\"a\":}",
                                        "{'a':1}",
                                        "{\"a\":\"\xff\"}",
                                        "{\"a\":\"\\u0000\"}",
                                        "{\"a\":1,}",
                                        "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < RS_COUNT(wrong); i++)
        refused(wrong[i], RS_MEDIA_OCI_MANIFEST, "");
    refused("[]", "", "not a JSON object");
    refused("{\n\"a\":}", "", "line 2, column 5");
    assert_int_equal(rs_manifest_parse((rs_str){NULL, 0}, (rs_str){NULL, 0}, arena, &m, &err), RS_E_MANIFEST_INVALID);
    assert_int_equal(rs_manifest_parse((rs_str){"{}\0", 3}, (rs_str){NULL, 0}, arena, &m, &err), RS_E_MANIFEST_INVALID);
}

static void fill_pattern(struct rs_buf *b, const char *pattern, size_t times)
{
    for (size_t i = 0; i < times; i++)
        rs_buf_add_c(b, pattern);
}

static void expect_limit(struct rs_buf *b, rs_rc rc, const char *why)
{
    assert_false(b->overflow);
    assert_int_equal(rs_manifest_parse(rs_buf_str(b), (rs_str){NULL, 0}, arena, &m, &err), rc);
    assert_non_null(strstr(err.text, why));
    rs_buf_release(b);
}

static void depth_is_bounded(void **state)
{
    (void)state;
    struct rs_buf b;
    rs_buf_init(&b, RS_MANIFEST_MAX);
    fill_pattern(&b, "[", RS_MANIFEST_MAX);
    expect_limit(&b, RS_E_MANIFEST_INVALID, "nested");
    fill_pattern(&b, "{\"a\":", 100000);
    expect_limit(&b, RS_E_MANIFEST_INVALID, "nested");
    /* Brackets in strings are no nesting, and an escaped quote ends no string. */
    rs_buf_add_c(&b, "{\"schemaVersion\":2,\"manifests\":[],\"x\":\"\\\\\\\"");
    fill_pattern(&b, "[{", 100000);
    rs_buf_add_c(&b, "\"}");
    assert_int_equal(rs_manifest_parse(rs_buf_str(&b), (rs_str){NULL, 0}, arena, &m, &err), RS_OK);
    rs_buf_release(&b);
}

static void values_are_counted(void **state)
{
    (void)state;
    struct rs_buf b;
    rs_buf_init(&b, RS_MANIFEST_MAX);
    rs_buf_add_c(&b, "{\"x\":[");
    fill_pattern(&b, "{},", 60000);
    rs_buf_add_c(&b, "{}]}");
    expect_limit(&b, RS_E_MANIFEST_INVALID, "too many values");
    rs_buf_add_c(&b, "{\"x\":[");
    fill_pattern(&b, "1,", 300000);
    rs_buf_add_c(&b, "1]}");
    expect_limit(&b, RS_E_MANIFEST_INVALID, "too many values");
}

static void size_is_bounded(void **state)
{
    (void)state;
    struct rs_buf b;
    rs_buf_init(&b, RS_MANIFEST_MAX + 1);
    rs_buf_add_c(&b, "{\"schemaVersion\":2,\"manifests\":[]}");
    size_t spaces = RS_MANIFEST_MAX - b.len;
    memset(rs_buf_reserve(&b, spaces), ' ', spaces);
    b.len += spaces;
    assert_int_equal(rs_manifest_parse(rs_buf_str(&b), (rs_str){NULL, 0}, arena, &m, &err), RS_OK);
    rs_buf_add_char(&b, ' ');
    expect_limit(&b, RS_E_MANIFEST_TOO_BIG, "4194305 bytes");
}

/* As many descriptors as the size allows are fine, and in order. */
static void many_descriptors(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct rs_buf b;
    rs_buf_init(&b, RS_MANIFEST_MAX);
    rs_buf_add_c(&b, "{\"schemaVersion\":2,\"manifests\":[");
    for (int i = 0; i < COUNT; i++)
        rs_buf_printf(&b, "%s{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"sha256:%064x\",\"size\":%d}",
                      i == 0 ? "" : ",", (unsigned)i, i);
    rs_buf_add_c(&b, "]}");
    assert_false(b.overflow);
    assert_int_equal(rs_manifest_parse(rs_buf_str(&b), (rs_str){NULL, 0}, arena, &m, &err), RS_OK);
    rs_buf_release(&b); /* nothing may point into it */
    assert_int_equal(m.descriptor_count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(m.descriptors[i].size, i);
        assert_true(rs_str_eq_c(m.descriptors[i].media_type, RS_MEDIA_OCI_MANIFEST));
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* image-spec, descriptor.md "Embedded Content". */
static void embedded_content_is_the_content(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        const char *why; /* NULL: accepted */
    } cases[] = {
        {"\"e30=\"", NULL},      {"\"\"", NULL},          {"null", NULL},
        {"\"e30\"", "base64"},   {"\"e30==\"", "base64"}, {"\"e30=\\n\"", "base64"},
        {"\"=e30\"", "base64"},  {"\"e-0=\"", "base64"},  {"7", "base64"},
        {"\"fXs=\"", "2 bytes"}, {"\"e30g\"", "3 bytes"}, {"\"====\"", "base64"},
    };
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        char json[1024];
        snprintf(json, sizeof json,
                 "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"sha256:"
                 "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2,\"data\":%s}}",
                 cases[i].data);
        if (cases[i].why == NULL)
            accepted(json, "", RS_MEDIA_OCI_MANIFEST);
        else
            refused(json, "", cases[i].why);
    }
}

static void platforms_of_an_index(void **state)
{
    (void)state;
#define CHILD(platform)                                                                                                \
    "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"a/b\",\"digest\":\"" C "\",\"size\":1" platform "}]}"
    accepted(CHILD(",\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":\"v8\"}"), "",
             RS_MEDIA_OCI_INDEX);
    assert_true(rs_str_eq_c(m.descriptors[0].os, "linux"));
    assert_true(rs_str_eq_c(m.descriptors[0].architecture, "arm64"));
    accepted(CHILD(""), "", RS_MEDIA_OCI_INDEX);
    assert_int_equal(m.descriptors[0].os.len, 0);
    accepted(CHILD(",\"platform\":null"), "", RS_MEDIA_OCI_INDEX);
    accepted(CHILD(",\"platform\":{}"), "", RS_MEDIA_OCI_INDEX);
    refused(CHILD(",\"platform\":\"linux\""), "", "platform is not an object");
    refused(CHILD(",\"platform\":{\"os\":1}"), "", "os is not a string");
    refused(CHILD(",\"platform\":{\"OS\":\"linux\"}"), "", "\"OS\" must be written \"os\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_oci_image),
        TEST(an_oci_index),
        TEST(dockers_types),
        TEST(schema_1_is_recognised),
        TEST(artifacts),
        TEST(subjects),
        TEST(referrers),
        TEST(annotations_of_referrers),
        TEST(referrers_that_would_be_refused_today),
        TEST(foreign_layers),
        TEST(embedded_content_is_the_content),
        TEST(platforms_of_an_index),
        TEST(content_types),
        TEST(ambiguous_documents),
        TEST(members_in_other_cases),
        TEST(schema_versions),
        TEST(wrong_descriptors),
        TEST(lenient_where_registry_2_is),
        TEST(no_json),
        TEST(depth_is_bounded),
        TEST(values_are_counted),
        TEST(size_is_bounded),
        TEST(many_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
