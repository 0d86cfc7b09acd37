/* SPDX-License-Identifier: Apache-2.0 */
/* A registry in a fresh directory, and what the tests of the registry do with it. Failing calls fail the test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "oci/digest.h"
#include "registry/blob.h"
#include "registry/manifest.h"
#include "registry/registry.h"
#include "registry/upload.h"
#include "storage/faulty.h"
#include "storage/storage.h"

#define FIXTURE_GRACE_S 3600

struct fixture {
    char root[64];
    char state[64];             /* the state directory */
    struct rs_storage *storage; /* faulty, around the local disk */
    struct rs_registry *registry;
    struct rs_err err;
};

/* For cmocka_unit_test_setup_teardown: *state is a struct fixture. */
int fixture_setup(void **state);
int fixture_setup_below(void **state, const char *directory); /* below another directory than /tmp */
int fixture_teardown(void **state);
/* Opens the registry anew, with the rules of `with`. */
void fixture_reopen(struct fixture *f, const struct rs_registry_config *with);
/* A second process on the same directory, as far as the registry can tell. */
struct fixture *fixture_second(const struct fixture *first);
void fixture_second_free(struct fixture **second);

/* RS_OK, or the test fails with the error's text. */
#define assert_ok(f, expr) fixture_assert_rc(RS_OK, (expr), &(f)->err, #expr, __FILE__, __LINE__)
#define assert_rc(f, expected, expr) fixture_assert_rc((expected), (expr), &(f)->err, #expr, __FILE__, __LINE__)
void fixture_assert_rc(rs_rc expected, rs_rc rc, const struct rs_err *err, const char *expr, const char *file,
                       int line);

/* Paths are relative to docker/registry/v2. */
void fixture_write(struct fixture *f, const char *path, const void *bytes, size_t len);
void fixture_write_c(struct fixture *f, const char *path, const char *text);
bool fixture_exists(struct fixture *f, const char *path);
void fixture_remove(struct fixture *f, const char *path);
void fixture_age(struct fixture *f, const char *path, int seconds); /* sets its times back */
/* The content as a NUL-terminated text; the caller frees. */
char *fixture_read(struct fixture *f, const char *path);
/* Every path below the root, sorted, a line each: "path/" of directories, "path=<content or size>" of files, but
 * for roadstead/v1/servers. The caller frees. */
char *fixture_tree(struct fixture *f);

struct rs_digest digest_of(const char *text);
/* Pushes a blob in one piece. */
struct rs_digest push_blob(struct fixture *f, const char *repository, const void *bytes, size_t len);
struct rs_digest push_text(struct fixture *f, const char *repository, const char *text);
rs_rc try_push(struct fixture *f, const char *repository, rs_str bytes, const struct rs_digest *digest);
/* The bytes of a blob as a NUL-terminated text; the caller frees. */
char *blob_text(struct fixture *f, const char *repository, const struct rs_digest *digest);

/* {"schemaVersion":2,…} of one config and layers, whose blobs are not pushed by this. The caller frees. */
char *image_json(const char *config, const char *const *layers, size_t layer_count);
/* reference: a tag, or a digest's text. */
rs_rc try_put(struct fixture *f, const char *repository, const char *reference, const char *json,
              struct rs_digest *out);
/* Pushes config, layers and manifest. */
struct rs_digest push_image(struct fixture *f, const char *repository, const char *tag, const char *config,
                            const char *layer);
rs_rc try_get(struct fixture *f, const char *repository, const char *reference, const struct rs_manifest_doc **out);
/* The test fails unless this manifest is served with these bytes. */
void assert_manifest(struct fixture *f, const char *repository, const char *reference, const char *json);
