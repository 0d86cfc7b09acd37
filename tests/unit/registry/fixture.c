/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

#define V2 "/docker/registry/v2/"

static void open_with(struct fixture *f, const struct rs_registry_config *with)
{
    struct rs_storage *disk;
    struct rs_registry_config config = *with;
    config.manifest_cache_bytes = 1024 * 1024;
    config.state_dir = f->state;
    config.grace_s = FIXTURE_GRACE_S;
    assert_ok(f, rs_storage_fs_new(f->root, &disk, &f->err));
    rs_storage_faulty_new(disk, &f->storage);
    assert_ok(f, rs_registry_new(&config, f->storage, &f->registry, &f->err));
}

static void open_registry(struct fixture *f)
{
    const struct rs_registry_config config = {0};
    snprintf(f->state, sizeof f->state, "/tmp/roadstead-state-XXXXXX");
    assert_non_null(mkdtemp(f->state));
    open_with(f, &config);
}

void fixture_reopen(struct fixture *f, const struct rs_registry_config *with)
{
    rs_registry_free(&f->registry);
    rs_storage_free(&f->storage);
    open_with(f, with);
}

int fixture_setup_below(void **state, const char *directory)
{
    struct fixture *f = rs_calloc(1, sizeof *f);
    snprintf(f->root, sizeof f->root, "%s/roadstead-registry-XXXXXX", directory);
    if (mkdtemp(f->root) == NULL)
        return -1;
    open_registry(f);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

int fixture_setup(void **state)
{
    return fixture_setup_below(state, "/tmp");
}

static void close_registry(struct fixture *f)
{
    rs_registry_free(&f->registry);
    rs_storage_free(&f->storage);
    nftw(f->state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    close_registry(f);
    nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

struct fixture *fixture_second(const struct fixture *first)
{
    struct fixture *f = rs_calloc(1, sizeof *f);
    memcpy(f->root, first->root, sizeof f->root);
    open_registry(f);
    return f;
}

void fixture_second_free(struct fixture **second)
{
    close_registry(*second);
    free(*second);
    *second = NULL;
}

void fixture_assert_rc(rs_rc expected, rs_rc rc, const struct rs_err *err, const char *expr, const char *file, int line)
{
    if (rc == expected)
        return;
    print_error("%s\n  gave %s, expected %s: %s\n", expr, rc == RS_OK ? "OK" : rs_rc_name(rc),
                expected == RS_OK ? "OK" : rs_rc_name(expected), rc == RS_OK ? "" : err->text);
    _fail(file, line);
}

/* --- files --- */

static char *full(const struct fixture *f, const char *path)
{
    size_t size = strlen(f->root) + strlen(V2) + strlen(path) + 1;
    char *z = rs_malloc(size);
    snprintf(z, size, "%s" V2 "%s", f->root, path);
    return z;
}

static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
}

/* In place, as registry:2 does it. */
void fixture_write(struct fixture *f, const char *path, const void *bytes, size_t len)
{
    RS_AUTO(rs_free_ptr) char *z = full(f, path);
    make_parents(z);
    FILE *file = fopen(z, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

void fixture_write_c(struct fixture *f, const char *path, const char *text)
{
    fixture_write(f, path, text, strlen(text));
}

bool fixture_exists(struct fixture *f, const char *path)
{
    RS_AUTO(rs_free_ptr) char *z = full(f, path);
    return access(z, F_OK) == 0;
}

void fixture_remove(struct fixture *f, const char *path)
{
    RS_AUTO(rs_free_ptr) char *z = full(f, path);
    assert_int_equal(nftw(z, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void fixture_age(struct fixture *f, const char *path, int seconds)
{
    RS_AUTO(rs_free_ptr) char *z = full(f, path);
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    assert_int_equal(utimensat(-1, z, times, 0), 0);
}

static char *read_full(const char *path)
{
    struct rs_buf b;
    struct rs_err err;
    rs_buf_init(&b, 64 * 1024 * 1024);
    fixture_assert_rc(RS_OK, rs_read_file(path, &b, &err), &err, path, __FILE__, __LINE__);
    rs_buf_z(&b);
    return b.ptr;
}

char *fixture_read(struct fixture *f, const char *path)
{
    RS_AUTO(rs_free_ptr) char *z = full(f, path);
    return read_full(z);
}

static void tree_below(struct rs_buf *out, const char *path, size_t root_len)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        char child[1024];
        struct stat st;
        snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
        bool skip = strcmp(entries[i]->d_name, ".") == 0 || strcmp(entries[i]->d_name, "..") == 0 ||
                    strcmp(child + root_len, "roadstead/v1/servers") == 0; /* named at random */
        free(entries[i]);
        if (skip)
            continue;
        assert_int_equal(lstat(child, &st), 0);
        rs_buf_add_c(out, child + root_len);
        if (S_ISDIR(st.st_mode)) {
            rs_buf_add_c(out, "/\n");
            tree_below(out, child, root_len);
        } else {
            RS_AUTO(rs_free_ptr) char *content = read_full(child);
            rs_buf_printf(out, "=%s\n", content);
        }
    }
    free(entries);
}

char *fixture_tree(struct fixture *f)
{
    struct rs_buf out;
    rs_buf_init(&out, 1024 * 1024);
    tree_below(&out, f->root, strlen(f->root) + 1);
    rs_buf_z(&out);
    assert_false(out.overflow);
    return out.ptr;
}

/* --- blobs --- */

struct rs_digest digest_of(const char *text)
{
    struct rs_digest digest;
    rs_digest_of(RS_SHA256, text, strlen(text), &digest);
    return digest;
}

rs_rc try_push(struct fixture *f, const char *repository, rs_str bytes, const struct rs_digest *digest)
{
    char uuid[RS_UUID_SIZE];
    struct rs_upload *upload = NULL;
    RS_TRY(rs_upload_begin(f->registry, rs_str_c(repository), uuid, &f->err));
    RS_TRY(rs_upload_open(f->registry, rs_str_c(repository), rs_str_c(uuid), digest->alg, &upload, &f->err));
    rs_rc rc = rs_upload_write(upload, bytes.ptr, bytes.len, &f->err);
    if (rc == RS_OK)
        return rs_upload_commit(&upload, digest, &f->err);
    rs_upload_suspend(&upload);
    return rc;
}

struct rs_digest push_blob(struct fixture *f, const char *repository, const void *bytes, size_t len)
{
    struct rs_digest digest;
    rs_digest_of(RS_SHA256, bytes, len, &digest);
    assert_ok(f, try_push(f, repository, (rs_str){bytes, len}, &digest));
    return digest;
}

struct rs_digest push_text(struct fixture *f, const char *repository, const char *text)
{
    return push_blob(f, repository, text, strlen(text));
}

char *blob_text(struct fixture *f, const char *repository, const struct rs_digest *digest)
{
    struct rs_source source;
    assert_ok(f, rs_blob_open(f->registry, rs_str_c(repository), digest, &source, &f->err));
    assert_int_equal(source.kind, RS_SOURCE_FILE);
    char *text = rs_calloc(1, source.length + 1);
    assert_int_equal(pread(source.fd, text, source.length, (off_t)source.offset), source.length);
    rs_source_release(&source);
    return text;
}

/* --- manifests --- */

char *image_json(const char *config, const char *const *layers, size_t layer_count)
{
    struct rs_buf b;
    struct rs_digest digest = digest_of(config);
    rs_buf_init(&b, 1024 * 1024);
    rs_buf_printf(&b,
                  "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"config\":{\"mediaType\":"
                  "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[",
                  digest.text, strlen(config));
    for (size_t i = 0; i < layer_count; i++) {
        digest = digest_of(layers[i]);
        rs_buf_printf(&b, "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu}",
                      i > 0 ? "," : "", digest.text, strlen(layers[i]));
    }
    rs_buf_add_c(&b, "]}");
    rs_buf_z(&b);
    return b.ptr;
}

rs_rc try_put(struct fixture *f, const char *repository, const char *reference, const char *json, struct rs_digest *out)
{
    struct rs_digest digest;
    struct rs_manifest_put put = {.repository = rs_str_c(repository), .bytes = rs_str_c(json)};
    RS_TRY(rs_reference_parse(rs_str_c(reference), &put.reference, &f->err));
    return rs_manifest_put(f->registry, &put, out != NULL ? out : &digest, &f->err);
}

struct rs_digest push_image(struct fixture *f, const char *repository, const char *tag, const char *config,
                            const char *layer)
{
    struct rs_digest digest;
    push_text(f, repository, config);
    push_text(f, repository, layer);
    RS_AUTO(rs_free_ptr) char *json = image_json(config, &layer, 1);
    assert_ok(f, try_put(f, repository, tag, json, &digest));
    return digest;
}

rs_rc try_get(struct fixture *f, const char *repository, const char *reference, const struct rs_manifest_doc **out)
{
    struct rs_reference parsed;
    RS_TRY(rs_reference_parse(rs_str_c(reference), &parsed, &f->err));
    return rs_manifest_get(f->registry, rs_str_c(repository), &parsed, out, &f->err);
}

void assert_manifest(struct fixture *f, const char *repository, const char *reference, const char *json)
{
    const struct rs_manifest_doc *doc = NULL;
    struct rs_digest digest = digest_of(json);
    assert_ok(f, try_get(f, repository, reference, &doc));
    assert_int_equal(doc->bytes.len, strlen(json));
    assert_memory_equal(doc->bytes.ptr, json, strlen(json));
    assert_string_equal(doc->digest.text, digest.text);
    rs_manifest_doc_unref(&doc);
    assert_null(doc);
}
