/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that read no body, on a registry in a directory of its own. Those that do are tested over the wire. */
#include <unistd.h>

#include "api_test.h"
#include "registry/manifest.h"
#include "registry/upload.h"

struct fixture {
    char dir[32];
    struct rs_config config;
    struct rs_storage *storage;
    struct rs_registry *registry;
    struct rs_api *api;
    struct rs_request req;
    struct rs_err err;
};

static const char unknown[] = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static int setup(void **state)
{
    struct fixture *f = rs_calloc(1, sizeof *f);
    const struct rs_registry_config registry = {.manifest_cache_bytes = 1 << 20, .state_dir = "/tmp"};

    snprintf(f->dir, sizeof f->dir, "/tmp/rs-api-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->config = (struct rs_config){
        .http = {.host = "", .prefix = "", .secret = ""}, .catalog_max_entries = 1000, .tags_max_tags = 1000};
    assert_int_equal(rs_storage_fs_new(f->dir, &f->storage, &f->err), RS_OK);
    assert_int_equal(rs_registry_new(&registry, f->storage, &f->registry, &f->err), RS_OK);
    assert_int_equal(rs_api_new(&f->config, &f->api, &f->err), RS_OK);
    rs_api_attach(f->api, f->registry);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[64];

    rs_api_free(&f->api);
    rs_registry_free(&f->registry);
    rs_storage_free(&f->storage);
    snprintf(command, sizeof command, "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

/* Calls a handler as the server would. The last answer is dropped before. */
static rs_rc call(struct fixture *f, rs_handler *handler, enum rs_method method, const char *target, const char *name,
                  const char *second)
{
    if (f->req.arena != NULL)
        request_release(&f->req);
    request_init(&f->req, method, "-", target);
    f->req.captures[0] = rs_str_c(name);
    f->req.captures[1] = rs_str_c(second);
    return handler(&f->req, f->api, &f->err);
}

static void done(struct fixture *f)
{
    request_release(&f->req);
}

static void push_blob(struct fixture *f, const char *name, const char *bytes, struct rs_digest *out)
{
    char uuid[RS_UUID_SIZE];
    struct rs_upload *upload = NULL;

    rs_digest_of(RS_SHA256, bytes, strlen(bytes), out);
    assert_int_equal(rs_upload_begin(f->registry, rs_str_c(name), uuid, &f->err), RS_OK);
    assert_int_equal(rs_upload_open(f->registry, rs_str_c(name), rs_str_c(uuid), RS_SHA256, &upload, &f->err), RS_OK);
    assert_int_equal(rs_upload_write(upload, bytes, strlen(bytes), &f->err), RS_OK);
    assert_int_equal(rs_upload_commit(&upload, out, &f->err), RS_OK);
}

static void push_manifest(struct fixture *f, const char *name, const char *tag, struct rs_digest *out)
{
    char json[1024];
    struct rs_digest config;

    push_blob(f, name, "{}", &config);
    snprintf(json, sizeof json,
             "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":\"application/"
             "vnd.oci.image.config.v1+json\",\"size\":2,\"digest\":\"%s\"},\"layers\":[]}",
             RS_MEDIA_OCI_MANIFEST, config.text);
    const struct rs_manifest_put put = {.repository = rs_str_c(name),
                                        .reference = {.tag = rs_str_c(tag)},
                                        .content_type = RS_STR(RS_MEDIA_OCI_MANIFEST),
                                        .bytes = rs_str_c(json)};
    assert_int_equal(rs_manifest_put(f->registry, &put, out, &f->err), RS_OK);
}

static void test_blob(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    char etag[RS_DIGEST_TEXT_MAX + 16];

    push_blob(f, "a/b", "0123456789", &digest);
    snprintf(etag, sizeof etag, "\"%s\"", digest.text);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_GET, "/x", "a/b", digest.text), RS_OK);
    assert_int_equal(f->req.reply.status, 200);
    assert_int_equal(f->req.reply.body.length, 10);
    assert_header(&f->req, "Docker-Content-Digest", digest.text);
    assert_header(&f->req, "Etag", etag);
    assert_header(&f->req, "Cache-Control", "max-age=31536000");
    assert_header(&f->req, "Accept-Ranges", "bytes");
    assert_header(&f->req, "Content-Type", "application/octet-stream");
    assert_str(f->req.log_repository, "a/b");
    assert_str(f->req.log_digest, digest.text);

    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_HEAD, "/x", "a/b", digest.text), RS_OK);
    assert_int_equal(f->req.reply.status, 200);
    assert_int_equal(f->req.reply.body.length, 10);
    assert_header(&f->req, "Content-Type", "application/octet-stream");
    assert_header(&f->req, "Accept-Ranges", "bytes");

    /* Linked in a/b alone. */
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_GET, "/x", "other", digest.text), RS_E_BLOB_UNKNOWN);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_HEAD, "/x", "a/b", unknown), RS_E_BLOB_UNKNOWN);
    done(f);
}

static void test_blob_conditions(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    struct rs_header header = {RS_STR("If-None-Match"), {0}};
    char etag[RS_DIGEST_TEXT_MAX + 16];

    push_blob(f, "a", "0123456789", &digest);
    snprintf(etag, sizeof etag, "W/\"x\", \"%s\"", digest.text);
    header.value = rs_str_c(etag);
    for (enum rs_method method = RS_METHOD_GET; method <= RS_METHOD_HEAD; method++) {
        request_init(&f->req, method, "-", "/x");
        f->req.headers = &header;
        f->req.header_count = 1;
        f->req.captures[0] = RS_STR("a");
        f->req.captures[1] = rs_digest_str(&digest);
        assert_int_equal(rs_api_blob_get(&f->req, f->api, &f->err), RS_OK);
        assert_int_equal(f->req.reply.status, 304);
        assert_int_equal(f->req.reply.body.length, 0);
        assert_header(&f->req, "Docker-Content-Digest", digest.text);
        request_release(&f->req);
    }
    header = (struct rs_header){RS_STR("Range"), RS_STR("bytes=2-4")};
    request_init(&f->req, RS_METHOD_GET, "GET", "/x");
    f->req.headers = &header;
    f->req.header_count = 1;
    f->req.captures[0] = RS_STR("a");
    f->req.captures[1] = rs_digest_str(&digest);
    assert_int_equal(rs_api_blob_get(&f->req, f->api, &f->err), RS_OK);
    assert_int_equal(f->req.reply.status, 206);
    assert_header(&f->req, "Content-Range", "bytes 2-4/10");
    assert_int_equal(f->req.reply.body.length, 3);
    rs_reply_reset(&f->req);
    header.value = RS_STR("bytes=10-");
    assert_int_equal(rs_api_blob_get(&f->req, f->api, &f->err), RS_E_RANGE_INVALID);
    assert_header(&f->req, "Content-Range", "bytes */10");
    done(f);
}

/* Manifests that refer to the digest `unknown`; n tells them apart. */
static void push_referrer(struct fixture *f, int n)
{
    char json[1024];
    struct rs_digest config, digest;

    push_blob(f, "a/b", "{}", &config);
    snprintf(json, sizeof json,
             "{\"schemaVersion\":2,\"artifactType\":\"x/y+z\",\"config\":{\"mediaType\":\"c/t\",\"size\":2,\"digest\":"
             "\"%s\"},\"subject\":{\"mediaType\":\"c/t\",\"size\":%d,\"digest\":\"%s\"}}",
             config.text, n, unknown);
    const struct rs_manifest_put put = {
        .repository = RS_STR("a/b"), .reference = {.tag = RS_STR("t")}, .bytes = rs_str_c(json)};
    assert_int_equal(rs_manifest_put(f->registry, &put, &digest, &f->err), RS_OK);
}

#define REFERRERS "/v2/a/b/referrers/x"
#define EMPTY_INDEX "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":[]}\n"

static void test_referrers_of_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(call(f, rs_api_referrers_get, RS_METHOD_GET, REFERRERS, "a/b", unknown), RS_OK);
    assert_int_equal(f->req.reply.status, 200);
    assert_header(&f->req, "Content-Type", RS_MEDIA_OCI_INDEX);
    assert_header(&f->req, "OCI-Filters-Applied", NULL);
    assert_header(&f->req, "Link", NULL);
    assert_memory_body(&f->req, EMPTY_INDEX);
    assert_str(f->req.log_repository, "a/b");
    assert_str(f->req.log_digest, unknown);
    assert_int_equal(call(f, rs_api_referrers_get, RS_METHOD_GET, REFERRERS, "A", unknown), RS_E_NAME_INVALID);
    assert_int_equal(call(f, rs_api_referrers_get, RS_METHOD_GET, REFERRERS, "a", "latest"), RS_E_DIGEST_INVALID);
    assert_int_equal(call(f, rs_api_referrers_get, RS_METHOD_GET, REFERRERS "?n=-1", "a", unknown),
                     RS_E_PAGINATION_NUMBER_INVALID);
    done(f);
}

static void test_referrers_page_by_page(void **state)
{
    struct fixture *f = *state;
    char link[300] = "";

    for (int n = 0; n < 3; n++)
        push_referrer(f, n);
    assert_int_equal(
        call(f, rs_api_referrers_get, RS_METHOD_GET, REFERRERS "?artifactType=x/y%2Bz&n=2", "a/b", unknown), RS_OK);
    assert_header(&f->req, "OCI-Filters-Applied", "artifactType");
    for (size_t i = 0; i < f->req.reply.header_count; i++)
        if (rs_str_eq(f->req.reply.headers[i].name, RS_STR("Link")))
            assert_true(rs_str_copy_z(f->req.reply.headers[i].value, link, sizeof link));
    static const char begin[] = "<" REFERRERS "?artifactType=x%2Fy%2Bz&last=sha256%3A", end[] = "&n=2>; rel=\"next\"";
    assert_true(rs_str_starts(rs_str_c(link), RS_STR(begin)));
    assert_true(rs_str_ends(rs_str_c(link), RS_STR(end)));
    link[strlen(link) - strlen(">; rel=\"next\"")] = '\0';
    assert_int_equal(call(f, rs_api_referrers_get, RS_METHOD_GET, link + 1, "a/b", unknown), RS_OK);
    assert_header(&f->req, "Link", NULL);
    assert_true(f->req.reply.body.length > sizeof EMPTY_INDEX + 100);
    assert_int_equal(call(f, rs_api_referrers_get, RS_METHOD_GET, REFERRERS "?artifactType=x/y+z", "a/b", unknown),
                     RS_OK);
    assert_true(f->req.reply.body.length > 3 * sizeof unknown);
    assert_int_equal(call(f, rs_api_referrers_get, RS_METHOD_GET, REFERRERS "?artifactType=x", "a/b", unknown), RS_OK);
    assert_memory_body(&f->req, EMPTY_INDEX);
    assert_int_equal(call(f, rs_api_referrers_get, RS_METHOD_GET, REFERRERS "?n=0", "a/b", unknown), RS_OK);
    assert_memory_body(&f->req, EMPTY_INDEX);
    assert_header(&f->req, "Link", NULL);
    done(f);
}

static void test_etag_lists(void **state)
{
    static const struct {
        const char *list;
        bool match;
    } cases[] = {
        {"\"d\"", true},  {"d", true},       {"W/\"d\"", true}, {"*", true},   {"\"x\" , \"d\"", true}, {"", false},
        {"\"x\"", false}, {"\"dd\"", false}, {"\"", false},     {",,", false}, {"W/", false},           {"\"d", false},
    };
    (void)state;

    for (size_t i = 0; i < RS_COUNT(cases); i++)
        assert_int_equal(rs_etag_list_has(rs_str_c(cases[i].list), RS_STR("d")), cases[i].match);
}

static void test_bad_names_and_digests(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_GET, "/x", "Upper", unknown), RS_E_NAME_INVALID);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_GET, "/x", "a/../b", unknown), RS_E_NAME_INVALID);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_GET, "/x", "a", "sha256:12"), RS_E_DIGEST_INVALID);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_GET, "/x", "a", "uploads"), RS_E_DIGEST_INVALID);
    assert_int_equal(call(f, rs_api_manifest_get, RS_METHOD_GET, "/x", "a", "sha256:12"), RS_E_DIGEST_INVALID);
    assert_int_equal(call(f, rs_api_manifest_get, RS_METHOD_GET, "/x", "A", "latest"), RS_E_NAME_INVALID);
    /* No such tag can be: not there, rather than a mistake of the client. */
    assert_int_equal(call(f, rs_api_manifest_get, RS_METHOD_GET, "/x", "a", ".x"), RS_E_MANIFEST_UNKNOWN);
    assert_int_equal(call(f, rs_api_manifest_put, RS_METHOD_PUT, "/x", "a", ".x"), RS_E_TAG_INVALID);
    assert_int_equal(call(f, rs_api_tags_get, RS_METHOD_GET, "/x", "a//b", ""), RS_E_NAME_INVALID);
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, "/x", "-a", ""), RS_E_NAME_INVALID);
    assert_int_equal(call(f, rs_api_upload_get, RS_METHOD_GET, "/x", "a", "nouuid"), RS_E_BLOB_UPLOAD_UNKNOWN);
    assert_int_equal(call(f, rs_api_upload_get, RS_METHOD_GET, "/x", "a", "11111111-1111-1111-1111-111111111111"),
                     RS_E_BLOB_UPLOAD_UNKNOWN);
    done(f);
}

static void test_manifest(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    char etag[RS_DIGEST_TEXT_MAX + 16];

    assert_int_equal(call(f, rs_api_manifest_get, RS_METHOD_GET, "/x", "a", "latest"), RS_E_MANIFEST_UNKNOWN);
    push_manifest(f, "a", "latest", &digest);
    snprintf(etag, sizeof etag, "\"%s\"", digest.text);
    const char *references[] = {"latest", digest.text};
    for (size_t i = 0; i < RS_COUNT(references); i++) {
        assert_int_equal(call(f, rs_api_manifest_get, RS_METHOD_GET, "/x", "a", references[i]), RS_OK);
        assert_int_equal(f->req.reply.status, 200);
        assert_header(&f->req, "Content-Type", RS_MEDIA_OCI_MANIFEST);
        assert_header(&f->req, "Docker-Content-Digest", digest.text);
        assert_header(&f->req, "Etag", etag);
        assert_int_equal(f->req.reply.body.kind, RS_SOURCE_MEMORY);
        assert_true(rs_str_starts((rs_str){f->req.reply.body.memory, f->req.reply.body.length},
                                  RS_STR("{\"schemaVersion\":2,")));
        assert_str(f->req.log_digest, digest.text);
    }
    const struct rs_header header = {RS_STR("if-none-match"), rs_str_c(etag)};
    request_release(&f->req);
    request_init(&f->req, RS_METHOD_GET, "GET", "/x");
    f->req.headers = &header;
    f->req.header_count = 1;
    f->req.captures[0] = RS_STR("a");
    f->req.captures[1] = RS_STR("latest");
    assert_int_equal(rs_api_manifest_get(&f->req, f->api, &f->err), RS_OK);
    assert_int_equal(f->req.reply.status, 304);
    assert_int_equal(f->req.reply.body.kind, RS_SOURCE_NONE);
    done(f);
}

static void test_manifest_bodies_that_are_refused_unread(void **state)
{
    struct fixture *f = *state;

    request_init(&f->req, RS_METHOD_PUT, "PUT", "/x");
    f->req.captures[0] = RS_STR("a");
    f->req.captures[1] = RS_STR("latest");
    f->req.has_body = true;
    f->req.content_length = RS_MANIFEST_MAX + 1;
    assert_int_equal(rs_api_manifest_put(&f->req, f->api, &f->err), RS_E_MANIFEST_TOO_BIG);
    f->req.has_body = false;
    f->req.content_length = 0;
    assert_int_equal(rs_api_manifest_put(&f->req, f->api, &f->err), RS_E_MANIFEST_INVALID);
    done(f);
}

static void test_tags_and_catalog(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;

    assert_int_equal(call(f, rs_api_tags_get, RS_METHOD_GET, "/x", "a", ""), RS_E_NAME_UNKNOWN);
    assert_int_equal(call(f, rs_api_catalog_get, RS_METHOD_GET, "/x", "", ""), RS_OK);
    assert_memory_body(&f->req, "{\"repositories\":[]}\n");
    push_manifest(f, "a", "v2", &digest);
    push_manifest(f, "a", "v1", &digest);
    push_manifest(f, "b/c", "x", &digest);

    assert_int_equal(call(f, rs_api_tags_get, RS_METHOD_GET, "/v2/a/tags/list", "a", ""), RS_OK);
    assert_memory_body(&f->req, "{\"name\":\"a\",\"tags\":[\"v1\",\"v2\"]}\n");
    assert_header(&f->req, "Link", NULL);
    assert_int_equal(call(f, rs_api_tags_get, RS_METHOD_GET, "/v2/a/tags/list?n=1", "a", ""), RS_OK);
    assert_memory_body(&f->req, "{\"name\":\"a\",\"tags\":[\"v1\"]}\n");
    assert_header(&f->req, "Link", "</v2/a/tags/list?last=v1&n=1>; rel=\"next\"");
    assert_int_equal(call(f, rs_api_tags_get, RS_METHOD_GET, "/v2/a/tags/list?n=1&last=v1", "a", ""), RS_OK);
    assert_memory_body(&f->req, "{\"name\":\"a\",\"tags\":[\"v2\"]}\n");
    assert_header(&f->req, "Link", NULL);
    assert_int_equal(call(f, rs_api_tags_get, RS_METHOD_GET, "/v2/a/tags/list?n=0", "a", ""), RS_OK);
    assert_memory_body(&f->req, "{\"name\":\"a\",\"tags\":[]}\n");
    assert_header(&f->req, "Link", NULL);

    assert_int_equal(call(f, rs_api_catalog_get, RS_METHOD_GET, "/v2/_catalog?n=1", "", ""), RS_OK);
    assert_memory_body(&f->req, "{\"repositories\":[\"a\"]}\n");
    assert_header(&f->req, "Link", "</v2/_catalog?last=a&n=1>; rel=\"next\"");
    assert_int_equal(call(f, rs_api_catalog_get, RS_METHOD_GET, "/v2/_catalog?last=a&n=1", "", ""), RS_OK);
    assert_memory_body(&f->req, "{\"repositories\":[\"b/c\"]}\n");
    assert_int_equal(call(f, rs_api_catalog_get, RS_METHOD_GET, "/v2/_catalog?n=1001", "", ""),
                     RS_E_PAGINATION_NUMBER_INVALID);
    assert_int_equal(call(f, rs_api_catalog_get, RS_METHOD_GET, "/v2/_catalog?n=x", "", ""),
                     RS_E_PAGINATION_NUMBER_INVALID);
    done(f);
}

static void test_upload_without_bodies(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE], location[128];

    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, "/x", "a", ""), RS_OK);
    assert_int_equal(f->req.reply.status, 202);
    assert_header(&f->req, "Range", "0-0");
    for (size_t i = 0; i < f->req.reply.header_count; i++)
        if (rs_str_eq(f->req.reply.headers[i].name, RS_STR("Docker-Upload-UUID")))
            assert_true(rs_str_copy_z(f->req.reply.headers[i].value, uuid, sizeof uuid));
    snprintf(location, sizeof location, "http://reg.example:5000/v2/a/blobs/uploads/%s", uuid);
    assert_header(&f->req, "Location", location);

    assert_int_equal(call(f, rs_api_upload_get, RS_METHOD_GET, "/x", "a", uuid), RS_OK);
    assert_int_equal(f->req.reply.status, 204);
    assert_header(&f->req, "Location", location);
    assert_header(&f->req, "Docker-Upload-UUID", uuid);
    assert_header(&f->req, "Range", "0-0");
    /* Valid in its own repository only. */
    assert_int_equal(call(f, rs_api_upload_get, RS_METHOD_GET, "/x", "b", uuid), RS_E_BLOB_UPLOAD_UNKNOWN);

    assert_int_equal(call(f, rs_api_upload_put, RS_METHOD_PUT, "/x", "a", uuid), RS_E_DIGEST_INVALID);
    assert_int_equal(call(f, rs_api_upload_put, RS_METHOD_PUT, "/x?digest=sha256:12", "a", uuid), RS_E_DIGEST_INVALID);
    assert_int_equal(call(f, rs_api_upload_delete, RS_METHOD_DELETE, "/x", "a", uuid), RS_OK);
    assert_int_equal(f->req.reply.status, 204);
    assert_int_equal(call(f, rs_api_upload_delete, RS_METHOD_DELETE, "/x", "a", uuid), RS_E_BLOB_UPLOAD_UNKNOWN);
    done(f);
}

static void test_an_empty_blob(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE], target[128], location[160];

    assert_int_equal(rs_upload_begin(f->registry, RS_STR("a"), uuid, &f->err), RS_OK);
    snprintf(target, sizeof target, "/x?digest=%s", unknown);
    assert_int_equal(call(f, rs_api_upload_put, RS_METHOD_PUT, target, "a", uuid), RS_OK);
    assert_int_equal(f->req.reply.status, 201);
    assert_header(&f->req, "Docker-Content-Digest", unknown);
    snprintf(location, sizeof location, "http://reg.example:5000/v2/a/blobs/%s", unknown);
    assert_header(&f->req, "Location", location);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_GET, "/x", "a", unknown), RS_OK);
    assert_int_equal(f->req.reply.body.length, 0);
    done(f);
}

static void test_state_is_emitted_with_a_secret(void **state)
{
    struct fixture *f = *state;

    f->config.http.secret = "s";
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, "/x", "a", ""), RS_OK);
    bool found = false;
    for (size_t i = 0; i < f->req.reply.header_count; i++)
        if (rs_str_eq(f->req.reply.headers[i].name, RS_STR("Location"))) {
            char text[1024];
            assert_true(rs_str_copy_z(f->req.reply.headers[i].value, text, sizeof text));
            found = strstr(text, "?_state=") != NULL;
        }
    assert_true(found);
    done(f);
}

static void test_mount(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    char target[256];

    push_blob(f, "a", "mount me", &digest);
    snprintf(target, sizeof target, "/x?mount=%s&from=a", digest.text);
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, target, "b", ""), RS_OK);
    assert_int_equal(f->req.reply.status, 201);
    assert_header(&f->req, "Docker-Content-Digest", digest.text);
    assert_header(&f->req, "Range", NULL);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_GET, "/x", "b", digest.text), RS_OK);
    static const char *const cannot[] = {
        "/x?mount=%s&from=", "/x?mount=%s&from=nope", "/x?mount=%s&from=A", "/x?mount=&from=a%.0s", "/x?from=a%.0s",
    };
    for (size_t i = 0; i < RS_COUNT(cannot); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(target, sizeof target, cannot[i], digest.text);
#pragma GCC diagnostic pop
        assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, target, "c", ""), RS_OK);
        assert_int_equal(f->req.reply.status, 202);
        assert_header(&f->req, "Range", "0-0");
    }
    snprintf(target, sizeof target, "/x?mount=x%s&from=a", digest.text);
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, target, "c", ""), RS_E_DIGEST_INVALID);
    snprintf(target, sizeof target, "/x?mount=%s", digest.text); /* from anywhere */
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, target, "c", ""), RS_OK);
    assert_int_equal(f->req.reply.status, 201);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_GET, "/x", "c", digest.text), RS_OK);
    snprintf(target, sizeof target, "/x?mount=%s", unknown);
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, target, "c", ""), RS_OK);
    assert_int_equal(f->req.reply.status, 202);
    done(f);
}

static void test_algorithm_of_an_upload(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *target;
        enum rs_hash_alg alg;
    } good[] = {
        {"/x", RS_SHA256}, {"/x?digest-algorithm=sha256", RS_SHA256}, {"/x?digest-algorithm=sha512", RS_SHA512}};
    static const char *const bad[] = {"/x?digest-algorithm=md5", "/x?digest-algorithm=", "/x?digest-algorithm=SHA512"};

    for (size_t i = 0; i < RS_COUNT(good); i++) {
        assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, good[i].target, "a", ""), RS_OK);
        assert_int_equal(f->req.reply.status, 202);
        rs_str uuid = {0};
        for (size_t k = 0; k < f->req.reply.header_count; k++)
            if (rs_str_eq_c(f->req.reply.headers[k].name, "Docker-Upload-UUID"))
                uuid = f->req.reply.headers[k].value;
        assert_int_equal(uuid.len, RS_UUID_SIZE - 1);
        assert_int_equal(rs_upload_chosen(f->registry, RS_STR("a"), uuid), good[i].alg);
    }
    for (size_t i = 0; i < RS_COUNT(bad); i++)
        assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, bad[i], "a", ""), RS_E_DIGEST_INVALID);
    assert_int_equal(rs_upload_chosen(f->registry, RS_STR("a"), RS_STR("../../../x")), RS_SHA256);
    done(f);
}

static void test_an_empty_blob_in_one_post(void **state)
{
    struct fixture *f = *state;
    struct rs_digest longer;
    char target[256];

    snprintf(target, sizeof target, "/x?digest=%s", unknown); /* of no bytes */
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, target, "a", ""), RS_OK);
    assert_int_equal(f->req.reply.status, 201);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_HEAD, "/x", "a", unknown), RS_OK);
    rs_digest_of(RS_SHA512, "", 0, &longer);
    snprintf(target, sizeof target, "/x?digest=%s", longer.text);
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, target, "a", ""), RS_OK);
    assert_int_equal(f->req.reply.status, 201);
    rs_digest_of(RS_SHA256, "x", 1, &longer); /* the bytes come with a PUT */
    snprintf(target, sizeof target, "/x?digest=%s", longer.text);
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, target, "a", ""), RS_OK);
    assert_int_equal(f->req.reply.status, 202);
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, "/x?digest=x", "a", ""), RS_E_DIGEST_INVALID);
    done(f);
}

static void test_read_only(void **state)
{
    struct fixture *f = *state;
    const char *uuid = "11111111-1111-1111-1111-111111111111";
    struct rs_digest digest;

    push_manifest(f, "a", "latest", &digest);
    rs_api_set_read_only(f->api, true);
    assert_int_equal(call(f, rs_api_upload_post, RS_METHOD_POST, "/x", "a", ""), RS_E_UNSUPPORTED);
    assert_int_equal(call(f, rs_api_upload_patch, RS_METHOD_PATCH, "/x", "a", uuid), RS_E_UNSUPPORTED);
    assert_int_equal(call(f, rs_api_upload_put, RS_METHOD_PUT, "/x", "a", uuid), RS_E_UNSUPPORTED);
    assert_int_equal(call(f, rs_api_upload_delete, RS_METHOD_DELETE, "/x", "a", uuid), RS_E_UNSUPPORTED);
    assert_int_equal(call(f, rs_api_manifest_put, RS_METHOD_PUT, "/x", "a", "latest"), RS_E_UNSUPPORTED);
    assert_int_equal(call(f, rs_api_manifest_delete, RS_METHOD_DELETE, "/x", "a", "latest"), RS_E_UNSUPPORTED);
    assert_int_equal(call(f, rs_api_blob_delete, RS_METHOD_DELETE, "/x", "a", unknown), RS_E_UNSUPPORTED);
    assert_non_null(strstr(f->err.text, "read-only"));
    assert_int_equal(call(f, rs_api_manifest_get, RS_METHOD_GET, "/x", "a", "latest"), RS_OK);
    done(f);
}

static void test_delete(void **state)
{
    struct fixture *f = *state;
    struct rs_digest manifest, blob;

    push_manifest(f, "a", "latest", &manifest);
    push_blob(f, "a", "bytes", &blob);
    assert_int_equal(call(f, rs_api_manifest_delete, RS_METHOD_DELETE, "/x", "a", "latest"), RS_E_UNSUPPORTED);
    assert_non_null(strstr(f->err.text, "storage.delete.enabled"));
    assert_int_equal(call(f, rs_api_blob_delete, RS_METHOD_DELETE, "/x", "a", blob.text), RS_E_UNSUPPORTED);
    f->config.storage.delete_enabled = true;
    assert_int_equal(call(f, rs_api_manifest_delete, RS_METHOD_DELETE, "/x", "a", "sha256:12"), RS_E_DIGEST_INVALID);
    assert_int_equal(call(f, rs_api_manifest_delete, RS_METHOD_DELETE, "/x", "a", ".bad"), RS_E_MANIFEST_UNKNOWN);
    assert_int_equal(call(f, rs_api_manifest_delete, RS_METHOD_DELETE, "/x", "b", "latest"), RS_E_MANIFEST_UNKNOWN);
    assert_int_equal(call(f, rs_api_manifest_delete, RS_METHOD_DELETE, "/x", "a", unknown), RS_E_MANIFEST_UNKNOWN);
    assert_int_equal(call(f, rs_api_blob_delete, RS_METHOD_DELETE, "/x", "a", "sha256:12"), RS_E_DIGEST_INVALID);
    assert_int_equal(call(f, rs_api_blob_delete, RS_METHOD_DELETE, "/x", "a", unknown), RS_E_BLOB_UNKNOWN);
    assert_int_equal(call(f, rs_api_blob_delete, RS_METHOD_DELETE, "/x", "b", blob.text), RS_E_BLOB_UNKNOWN);

    assert_int_equal(call(f, rs_api_manifest_delete, RS_METHOD_DELETE, "/x", "a", "latest"), RS_OK);
    assert_int_equal(f->req.reply.status, 202);
    assert_int_equal(call(f, rs_api_manifest_get, RS_METHOD_GET, "/x", "a", "latest"), RS_E_MANIFEST_UNKNOWN);
    assert_int_equal(call(f, rs_api_manifest_delete, RS_METHOD_DELETE, "/x", "a", manifest.text), RS_OK);
    assert_int_equal(f->req.reply.status, 202);
    assert_int_equal(call(f, rs_api_manifest_get, RS_METHOD_GET, "/x", "a", manifest.text), RS_E_MANIFEST_UNKNOWN);
    assert_int_equal(call(f, rs_api_blob_delete, RS_METHOD_DELETE, "/x", "a", blob.text), RS_OK);
    assert_int_equal(f->req.reply.status, 202);
    assert_int_equal(call(f, rs_api_blob_get, RS_METHOD_HEAD, "/x", "a", blob.text), RS_E_BLOB_UNKNOWN);
    rs_api_set_read_only(f->api, true);
    assert_int_equal(call(f, rs_api_blob_delete, RS_METHOD_DELETE, "/x", "a", blob.text), RS_E_UNSUPPORTED);
    assert_non_null(strstr(f->err.text, "read-only"));
    done(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_blob, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blob_conditions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_referrers_of_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_referrers_page_by_page, setup, teardown),
        cmocka_unit_test(test_etag_lists),
        cmocka_unit_test_setup_teardown(test_bad_names_and_digests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_manifest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_manifest_bodies_that_are_refused_unread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tags_and_catalog, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upload_without_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_blob, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state_is_emitted_with_a_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mount, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_algorithm_of_an_upload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_blob_in_one_post, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
