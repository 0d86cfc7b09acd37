/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/mem.h"

#define REPO "tree/one"

static void assert_unknown(struct fixture *f, const char *repository, const char *reference)
{
    const struct rs_manifest_doc *doc = NULL;
    assert_rc(f, RS_E_MANIFEST_UNKNOWN, try_get(f, repository, reference, &doc));
    assert_null(doc);
}

static char *index_json(const struct rs_digest *children, const size_t *sizes, size_t count)
{
    struct rs_buf b;
    rs_buf_init(&b, 1024 * 1024);
    rs_buf_add_c(&b, "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":[");
    for (size_t i = 0; i < count; i++)
        rs_buf_printf(&b, "%s{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}",
                      i > 0 ? "," : "", children[i].text, sizes[i]);
    rs_buf_add_c(&b, "]}");
    rs_buf_z(&b);
    return b.ptr;
}

/* The tree of the same image pushed to a registry:2.8.2, byte for byte. */
static void test_layout(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    static const char json[] =
        "{\"schemaVersion\": 2, \"mediaType\": \"application/vnd.oci.image.manifest.v1+json\", \"config\": "
        "{\"mediaType\": \"application/vnd.oci.image.config.v1+json\", \"digest\": "
        "\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\", \"size\": 2}, \"layers\": "
        "[{\"mediaType\": \"application/vnd.oci.image.layer.v1.tar\", \"digest\": "
        "\"sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85\", \"size\": 5}]}";
#define C "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define L "dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85"
#define M "e245598d28a38812808ab7ba3a7c24834160345d9f0e36b368b93478ae588471"
    push_text(f, REPO, "{}");
    push_text(f, REPO, "layer");
    assert_ok(f, try_put(f, REPO, "v1", json, &digest));
    assert_string_equal(digest.text, "sha256:" M);
    RS_AUTO(rs_free_ptr) char *tree = fixture_tree(f);
    struct rs_buf want;
    rs_buf_init(&want, 64 * 1024);
#define R "docker/registry/v2/repositories/"
#define B "docker/registry/v2/blobs/sha256/"
    rs_buf_add_c(&want, "docker/\ndocker/registry/\ndocker/registry/v2/\ndocker/registry/v2/blobs/\n" B "\n");
    rs_buf_add_c(&want, B "44/\n" B "44/" C "/\n" B "44/" C "/data={}\n");
    rs_buf_add_c(&want, B "da/\n" B "da/" L "/\n" B "da/" L "/data=layer\n");
    rs_buf_printf(&want, B "e2/\n" B "e2/" M "/\n" B "e2/" M "/data=%s\n", json);
    rs_buf_add_c(&want, R "\n" R "tree/\n" R "tree/one/\n" R "tree/one/_layers/\n" R "tree/one/_layers/sha256/\n");
    rs_buf_add_c(&want, R "tree/one/_layers/sha256/" C "/\n");
    rs_buf_add_c(&want, R "tree/one/_layers/sha256/" C "/link=sha256:" C "\n");
    rs_buf_add_c(&want, R "tree/one/_layers/sha256/" L "/\n");
    rs_buf_add_c(&want, R "tree/one/_layers/sha256/" L "/link=sha256:" L "\n");
#define MAN R "tree/one/_manifests/"
    rs_buf_add_c(&want, MAN "\n" MAN "revisions/\n" MAN "revisions/sha256/\n" MAN "revisions/sha256/" M "/\n");
    rs_buf_add_c(&want, MAN "revisions/sha256/" M "/link=sha256:" M "\n" MAN "tags/\n" MAN "tags/v1/\n");
    rs_buf_add_c(&want, MAN "tags/v1/current/\n" MAN "tags/v1/current/link=sha256:" M "\n");
    rs_buf_add_c(&want, MAN "tags/v1/index/\n" MAN "tags/v1/index/sha256/\n" MAN "tags/v1/index/sha256/" M "/\n");
    rs_buf_add_c(&want, MAN "tags/v1/index/sha256/" M "/link=sha256:" M "\n" R "tree/one/_uploads/\n");
    char *ours = strstr(tree, "\nroadstead/\n"); /* beside it, where a registry:2 does not look */
    assert_non_null(ours);
    ours[1] = '\0';
    assert_string_equal(tree, rs_buf_z(&want));
    rs_buf_release(&want);
}

static void test_get(void **state)
{
    struct fixture *f = *state;
    static const char *const layers[] = {"layer"};
    RS_AUTO(rs_free_ptr) char *json = image_json("config", layers, 1);
    struct rs_digest digest = push_image(f, REPO, "v1", "config", "layer");
    const struct rs_manifest_doc *doc, *again;
    assert_manifest(f, REPO, "v1", json);
    assert_manifest(f, REPO, digest.text, json);
    assert_ok(f, try_get(f, REPO, "v1", &doc));
    assert_true(rs_str_eq_c(doc->media_type, RS_MEDIA_OCI_MANIFEST));
    assert_ok(f, try_get(f, REPO, digest.text, &again));
    assert_ptr_equal(doc, again); /* from memory */
    rs_manifest_doc_unref(&doc);
    rs_manifest_doc_unref(&again);
    assert_unknown(f, REPO, "v2");
    assert_unknown(f, REPO, digest_of("other").text);
    assert_unknown(f, "tree", "v1");
    assert_unknown(f, "tree/two", digest.text); /* cached, but not this repository's */
}

static uint64_t all_calls(struct fixture *f)
{
    uint64_t count = 0;
    for (int i = 0; i < RS_FAULTY_CALLS; i++)
        count += rs_storage_faulty_calls(f->storage, (enum rs_faulty_call)i);
    return count;
}

static void test_a_cached_one_needs_few_looks(void **state)
{
    struct fixture *f = *state;
    const struct rs_manifest_doc *doc;
    push_image(f, REPO, "v1", "config", "layer");
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000000}, NULL); /* a stamp is not given at once */
    assert_ok(f, try_get(f, REPO, "v1", &doc));
    rs_manifest_doc_unref(&doc);
    rs_storage_faulty_clear(f->storage);
    assert_ok(f, try_get(f, REPO, "v1", &doc));
    rs_manifest_doc_unref(&doc);
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_STAT), 1);
    assert_int_equal(all_calls(f), 1);
}

/* A tag whose revision is gone, which no registry leaves behind, is believed for a second. */
static void test_a_tag_without_its_revision_is_noticed(void **state)
{
    struct fixture *f = *state;
    const struct rs_manifest_doc *doc;
    char path[512];
    struct rs_digest digest = push_image(f, REPO, "v1", "config", "layer");
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000000}, NULL);
    for (int i = 0; i < 2; i++) {
        assert_ok(f, try_get(f, REPO, "v1", &doc));
        rs_manifest_doc_unref(&doc);
    }
    snprintf(path, sizeof path, "repositories/" REPO "/_manifests/revisions/sha256/%s/link", rs_digest_hex(&digest));
    fixture_remove(f, path);
    assert_unknown(f, REPO, digest.text);
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100 * 1000000}, NULL);
    assert_unknown(f, REPO, "v1");
}

/* Whoever moves or removes a tag behind our back is noticed at the next look. */
static void test_links_are_looked_at_each_time(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = fixture_second(f);
    char path[512];
    for (int i = 0; i < 50; i++) {
        char config[32];
        snprintf(config, sizeof config, "config %d", i);
        const char *layers[] = {"layer"};
        RS_AUTO(rs_free_ptr) char *json = image_json(config, layers, 1);
        push_image(i % 2 ? f : g, REPO, "v1", config, "layer");
        assert_manifest(f, REPO, "v1", json);
        if (i % 10 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 30 * 1000000}, NULL);
        assert_manifest(g, REPO, "v1", json);
    }
    struct rs_digest old = push_image(f, REPO, "old", "old", "layer");
    fixture_write_c(f, "repositories/" REPO "/_manifests/tags/v1/current/link", old.text); /* in place */
    const struct rs_manifest_doc *doc;
    assert_ok(g, try_get(g, REPO, "v1", &doc));
    assert_string_equal(doc->digest.text, old.text);
    rs_manifest_doc_unref(&doc);
    snprintf(path, sizeof path, "repositories/" REPO "/_manifests/revisions/sha256/%s/link", rs_digest_hex(&old));
    fixture_remove(f, path);
    assert_unknown(f, REPO, "v1");
    assert_unknown(f, REPO, old.text);
    fixture_remove(f, "repositories/" REPO "/_manifests/tags/v1");
    assert_unknown(g, REPO, "v1");
    fixture_second_free(&g);
}

/* What is remembered of tags is bounded, and never taken for another tag's. */
static void test_more_tags_than_are_remembered(void **state)
{
    struct fixture *f = *state;
    enum { TAGS = 4000 };
    struct rs_digest two[2];
    two[0] = push_image(f, REPO, "first", "config 0", "layer");
    two[1] = push_image(f, REPO, "second", "config 1", "layer");
    for (int i = 0; i < TAGS; i++) {
        char path[512];
        snprintf(path, sizeof path, "repositories/" REPO "/_manifests/tags/t%d/current/link", i);
        fixture_write_c(f, path, two[i * 7 % 11 % 2].text);
    }
    nanosleep(&(struct timespec){.tv_nsec = 50 * 1000000}, NULL);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < TAGS; i++) {
            char tag[16];
            const struct rs_manifest_doc *doc;
            snprintf(tag, sizeof tag, "t%d", i);
            assert_ok(f, try_get(f, REPO, tag, &doc));
            assert_string_equal(doc->digest.text, two[i * 7 % 11 % 2].text);
            rs_manifest_doc_unref(&doc);
        }
    }
}

static void test_by_digest(void **state)
{
    struct fixture *f = *state;
    static const char *const layers[] = {"layer"};
    RS_AUTO(rs_free_ptr) char *json = image_json("config", layers, 1);
    struct rs_digest digest = digest_of(json), long_digest, other = digest_of("other"), got;
    rs_digest_of(RS_SHA512, json, strlen(json), &long_digest);
    push_text(f, REPO, "config");
    push_text(f, REPO, "layer");
    assert_rc(f, RS_E_DIGEST_INVALID, try_put(f, REPO, other.text, json, &got));
    assert_false(fixture_exists(f, "repositories/" REPO "/_manifests"));
    assert_ok(f, try_put(f, REPO, digest.text, json, &got));
    assert_string_equal(got.text, digest.text);
    assert_false(fixture_exists(f, "repositories/" REPO "/_manifests/tags"));
    assert_manifest(f, REPO, digest.text, json);
    assert_unknown(f, REPO, long_digest.text);
    assert_ok(f, try_put(f, REPO, long_digest.text, json, &got));
    assert_string_equal(got.text, long_digest.text);
    const struct rs_manifest_doc *doc;
    assert_ok(f, try_get(f, REPO, long_digest.text, &doc));
    assert_string_equal(doc->digest.text, long_digest.text);
    assert_true(rs_str_eq_c(doc->bytes, json));
    rs_manifest_doc_unref(&doc);
}

static void assert_refused(struct fixture *f, rs_rc rc, const char *json, const char *named)
{
    assert_rc(f, rc, try_put(f, REPO, "bad", json, NULL));
    if (named != NULL && strstr(f->err.text, named) == NULL)
        fail_msg("\"%s\" does not name %s", f->err.text, named);
    assert_unknown(f, REPO, "bad");
    assert_unknown(f, REPO, digest_of(json).text);
}

static void test_blobs_must_be_there(void **state)
{
    struct fixture *f = *state;
    static const char *const layers[] = {"one", "two"};
    RS_AUTO(rs_free_ptr) char *json = image_json("config", layers, 2);
    assert_refused(f, RS_E_MANIFEST_BLOB_UNKNOWN, json, digest_of("config").text);
    push_text(f, REPO, "config");
    assert_refused(f, RS_E_MANIFEST_BLOB_UNKNOWN, json, digest_of("one").text);
    push_text(f, REPO, "one");
    push_text(f, "another/repository", "two"); /* does not count */
    assert_refused(f, RS_E_MANIFEST_BLOB_UNKNOWN, json, digest_of("two").text);
    push_text(f, REPO, "two");
    assert_ok(f, try_put(f, REPO, "good", json, NULL));
    assert_manifest(f, REPO, "good", json);
}

static void test_sizes_must_be_right(void **state)
{
    struct fixture *f = *state;
    static const char *const layers[] = {"layer"};
    RS_AUTO(rs_free_ptr) char *json = image_json("config", layers, 1);
    push_text(f, REPO, "config");
    struct rs_digest layer = push_text(f, REPO, "layer");
    char *size = strstr(json, "\"size\":5");
    assert_non_null(size);
    size[7] = '6';
    assert_refused(f, RS_E_MANIFEST_INVALID, json, layer.text);
}

static void test_not_a_manifest(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_free_ptr) char *large = rs_malloc(RS_MANIFEST_MAX + 2);
    memset(large, ' ', RS_MANIFEST_MAX + 1);
    large[RS_MANIFEST_MAX + 1] = '\0';
    assert_refused(f, RS_E_MANIFEST_TOO_BIG, large, NULL);
    assert_refused(f, RS_E_MANIFEST_INVALID, "{", NULL);
    assert_refused(f, RS_E_MANIFEST_INVALID, "", NULL);
    assert_refused(f, RS_E_MANIFEST_INVALID,
                   "{\"schemaVersion\":1,\"name\":\"x\",\"tag\":\"y\",\"architecture\":\"amd64\",\"fsLayers\":[],"
                   "\"history\":[]}",
                   NULL);
    assert_false(fixture_exists(f, "blobs"));
}

#define FOREIGN(urls)                                                                                                  \
    "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_DOCKER_MANIFEST "\",\"config\":{\"mediaType\":"                   \
    "\"application/vnd.docker.container.image.v1+json\",\"digest\":\"sha256:" C "\",\"size\":2},\"layers\":["          \
    "{\"mediaType\":\"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip\",\"digest\":\"sha256:" L              \
    "\",\"size\":5" urls "}]}"

static void test_foreign_layers(void **state)
{
    struct fixture *f = *state;
    push_text(f, REPO, "{}");
    assert_ok(f, try_put(f, REPO, "v1", FOREIGN(",\"urls\":[\"https://example.com/layer\"]"), NULL));
    rs_rc rc = try_put(f, REPO, "bad", FOREIGN(""), NULL);
    assert_true(rc == RS_E_MANIFEST_BLOB_UNKNOWN || rc == RS_E_MANIFEST_INVALID);
    assert_unknown(f, REPO, "bad");
    const struct rs_manifest_doc *doc;
    assert_ok(f, try_get(f, REPO, "v1", &doc));
    assert_true(rs_str_eq_c(doc->media_type, RS_MEDIA_DOCKER_MANIFEST));
    rs_manifest_doc_unref(&doc);
}

static size_t size_of(struct fixture *f, const char *reference)
{
    const struct rs_manifest_doc *doc;
    assert_ok(f, try_get(f, REPO, reference, &doc));
    size_t size = doc->bytes.len;
    rs_manifest_doc_unref(&doc);
    return size;
}

static void test_index(void **state)
{
    struct fixture *f = *state;
    struct rs_digest children[2], digest;
    size_t sizes[2];
    children[0] = push_image(f, REPO, "amd64", "config a", "layer a");
    children[1] = push_image(f, "elsewhere", "arm64", "config b", "layer b");
    sizes[0] = size_of(f, "amd64");
    sizes[1] = sizes[0];
    RS_AUTO(rs_free_ptr) char *json = index_json(children, sizes, 2);
    assert_refused(f, RS_E_MANIFEST_BLOB_UNKNOWN, json, children[1].text);
    push_image(f, REPO, "arm64", "config b", "layer b");
    assert_ok(f, try_put(f, REPO, "all", json, &digest));
    assert_manifest(f, REPO, "all", json);
    size_t nested_size = strlen(json);
    RS_AUTO(rs_free_ptr) char *nested = index_json(&digest, &nested_size, 1);
    assert_ok(f, try_put(f, REPO, "nested", nested, NULL));
    assert_manifest(f, REPO, "nested", nested);
    const struct rs_manifest_doc *doc;
    assert_ok(f, try_get(f, REPO, "nested", &doc));
    assert_true(rs_str_eq_c(doc->media_type, RS_MEDIA_OCI_INDEX));
    rs_manifest_doc_unref(&doc);
    nested_size++;
    RS_AUTO(rs_free_ptr) char *wrong = index_json(&digest, &nested_size, 1);
    assert_refused(f, RS_E_MANIFEST_INVALID, wrong, digest.text);
}

/* What BuildKit exports as its cache: an index of layers. */
static void test_index_of_blobs(void **state)
{
    struct fixture *f = *state;
    struct rs_digest blob = digest_of("a cached layer");
    size_t size = strlen("a cached layer");
    RS_AUTO(rs_free_ptr) char *json = index_json(&blob, &size, 1);
    assert_refused(f, RS_E_MANIFEST_BLOB_UNKNOWN, json, blob.text);
    push_text(f, REPO, "a cached layer");
    assert_ok(f, try_put(f, REPO, "cache", json, NULL));
    assert_manifest(f, REPO, "cache", json);
}

/* registry:2.8 lists a repository, and its collector marks it, only if it has _layers. */
static void test_index_alone_makes_layers(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_free_ptr) char *json = index_json(NULL, NULL, 0);
    assert_ok(f, try_put(f, "only/index", "v1", json, NULL));
    assert_true(fixture_exists(f, "repositories/only/index/_layers"));
    assert_manifest(f, "only/index", "v1", json);
}

static void test_subject_need_not_exist(void **state)
{
    struct fixture *f = *state;
    char json[1024];
    push_text(f, REPO, "{}");
    snprintf(json, sizeof json,
             "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"artifactType\":\"application/x\","
             "\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"sha256:" C
             "\",\"size\":2},\"layers\":[{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"sha256:" C
             "\",\"size\":2}],\"subject\":{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":7}}",
             digest_of("nowhere").text);
    assert_ok(f, try_put(f, REPO, "signature", json, NULL));
    assert_manifest(f, REPO, "signature", json);
}

static const char *blob_path(const struct rs_digest *digest)
{
    static char path[256];
    snprintf(path, sizeof path, "blobs/sha256/%.2s/%s/data", rs_digest_hex(digest), rs_digest_hex(digest));
    return path;
}

static void test_damage_is_not_served(void **state)
{
    struct fixture *f = *state;
    const struct rs_manifest_doc *doc = NULL;
    struct rs_digest digest = push_image(f, REPO, "v1", "config", "layer");
    RS_AUTO(rs_free_ptr) char *json = fixture_read(f, blob_path(&digest));
    RS_AUTO(rs_free_ptr) char *damaged = rs_strdup(json);
    damaged[20] ^= 1;
    fixture_write_c(f, blob_path(&digest), damaged);
    assert_rc(f, RS_E_CORRUPT, try_get(f, REPO, "v1", &doc));
    assert_null(doc);
    assert_ok(f, try_put(f, REPO, "v1", json, NULL)); /* pushing again heals */
    assert_manifest(f, REPO, "v1", json);
    RS_AUTO(rs_free_ptr) char *healed = fixture_read(f, blob_path(&digest));
    assert_string_equal(healed, json);
}

static void test_lost_bytes(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = push_image(f, REPO, "v1", "config", "layer");
    fixture_remove(f, blob_path(&digest));
    assert_unknown(f, REPO, "v1");
    assert_unknown(f, REPO, digest.text);
}

/* What an older registry stored is served, also where we would not accept it. */
static void assert_stored(struct fixture *f, const char *json, const char *media_type)
{
    char path[512];
    struct rs_digest digest = digest_of(json);
    fixture_write_c(f, blob_path(&digest), json);
    snprintf(path, sizeof path, "repositories/" REPO "/_manifests/revisions/sha256/%s/link", rs_digest_hex(&digest));
    fixture_write_c(f, path, digest.text);
    const struct rs_manifest_doc *doc;
    assert_ok(f, try_get(f, REPO, digest.text, &doc));
    assert_true(rs_str_eq_c(doc->bytes, json));
    if (!rs_str_eq_c(doc->media_type, media_type))
        fail_msg("%s is served as " RS_STR_FMT, json, RS_STR_ARG(doc->media_type));
    rs_manifest_doc_unref(&doc);
}

static void test_stored_by_others(void **state)
{
    struct fixture *f = *state;
    assert_stored(f,
                  "{\"schemaVersion\":1,\"name\":\"x\",\"tag\":\"y\",\"architecture\":\"amd64\",\"fsLayers\":"
                  "[{\"blobSum\":\"sha256:" C "\"}],\"history\":[{\"v1Compatibility\":\"{}\"}]}",
                  RS_MEDIA_DOCKER_SCHEMA1);
    assert_stored(f,
                  "{\"schemaVersion\":1,\"name\":\"x\",\"tag\":\"y\",\"architecture\":\"amd64\",\"fsLayers\":"
                  "[{\"blobSum\":\"sha256:" C "\"}],\"history\":[{\"v1Compatibility\":\"{}\"}],\"signatures\":"
                  "[{\"header\":{},\"signature\":\"x\",\"protected\":\"y\"}]}",
                  RS_MEDIA_DOCKER_SCHEMA1_SIGNED);
    assert_stored(f, "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_DOCKER_LIST "\",\"manifests\":[{}]}",
                  RS_MEDIA_DOCKER_LIST);
    assert_stored(f, "{\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\"}", RS_MEDIA_OCI_INDEX);
    assert_stored(f, "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" RS_MEDIA_DOCKER_MANIFEST "\"}]}",
                  RS_MEDIA_OCI_INDEX);
    assert_stored(f, "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_DOCKER_MANIFEST "\",\"layers\":7}",
                  RS_MEDIA_DOCKER_MANIFEST);
    assert_stored(f, "{}", RS_MEDIA_OCI_MANIFEST);
}

static void test_put_again_and_move(void **state)
{
    struct fixture *f = *state;
    static const char *const layers[] = {"layer"};
    RS_AUTO(rs_free_ptr) char *first = image_json("first", layers, 1);
    RS_AUTO(rs_free_ptr) char *second = image_json("second", layers, 1);
    push_image(f, REPO, "v1", "first", "layer");
    RS_AUTO(rs_free_ptr) char *before = fixture_tree(f);
    assert_ok(f, try_put(f, REPO, "v1", first, NULL));
    RS_AUTO(rs_free_ptr) char *after = fixture_tree(f);
    assert_string_equal(before, after);
    push_image(f, REPO, "v1", "second", "layer");
    assert_manifest(f, REPO, "v1", second);
    assert_manifest(f, REPO, digest_of(first).text, first);
    assert_ok(f, try_put(f, REPO, "v1", first, NULL));
    assert_manifest(f, REPO, "v1", first);
}

/* An answer promises what the manifest needs, also blobs that another process wrote a moment ago. */
static void test_young_blobs_of_others_are_kept(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = fixture_second(f);
    static const char *const layers[] = {"layer"};
    RS_AUTO(rs_free_ptr) char *json = image_json("config", layers, 1);
    struct rs_digest config = push_text(f, REPO, "config");
    struct rs_digest layer = push_text(f, REPO, "layer");
    rs_storage_faulty_clear(g->storage);
    assert_ok(g, try_put(g, REPO, "v1", json, NULL));
    assert_int_equal(rs_storage_faulty_calls(g->storage, RS_FAULTY_KEEP), 4);
    char path[512];
    const struct rs_digest *const blobs[] = {&config, &layer};
    for (size_t i = 0; i < RS_COUNT(blobs); i++) {
        snprintf(path, sizeof path, "repositories/" REPO "/_layers/sha256/%s/link", rs_digest_hex(blobs[i]));
        fixture_age(f, path, 7200);
    }
    rs_storage_faulty_clear(g->storage);
    assert_ok(g, try_put(g, REPO, "v2", json, NULL));
    assert_int_equal(rs_storage_faulty_calls(g->storage, RS_FAULTY_KEEP), 2); /* the manifest's own data and link */
    fixture_second_free(&g);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_layout),
        TEST(test_get),
        TEST(test_a_cached_one_needs_few_looks),
        TEST(test_a_tag_without_its_revision_is_noticed),
        TEST(test_links_are_looked_at_each_time),
        TEST(test_more_tags_than_are_remembered),
        TEST(test_by_digest),
        TEST(test_blobs_must_be_there),
        TEST(test_sizes_must_be_right),
        TEST(test_not_a_manifest),
        TEST(test_foreign_layers),
        TEST(test_index),
        TEST(test_index_alone_makes_layers),
        TEST(test_index_of_blobs),
        TEST(test_subject_need_not_exist),
        TEST(test_damage_is_not_served),
        TEST(test_lost_bytes),
        TEST(test_stored_by_others),
        TEST(test_put_again_and_move),
        TEST(test_young_blobs_of_others_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
