/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the storage share: a fresh directory each, and short forms of the calls. */
#pragma once

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <limits.h>
#include <sys/stat.h>

#include "base/str.h"
#include "storage/storage.h"

struct temp {
    char root[64]; /* a fresh directory, the storage's root */
    struct rs_storage *storage;
    struct rs_storage_batch batch;
    struct rs_err err;
};

/* For cmocka's setup and teardown: *state is a struct temp. */
int temp_setup(void **state);
int temp_setup_memory(void **state); /* the storage is in memory; the directory stays empty */
int temp_teardown(void **state);

/* A path of the disk below the root; static, the last four calls' results stay valid. */
const char *temp_path(const struct temp *t, const char *path);
bool temp_exists(const struct temp *t, const char *path);
ino_t temp_inode(const struct temp *t, const char *path);
/* How many files below the root have a name that ends in ".tmp". */
size_t temp_leftovers(const struct temp *t);
/* Writes a file past the storage. */
void temp_write(const struct temp *t, const char *path, const char *bytes);
void temp_sleep_ms(unsigned ms);

/* put with the batch of t, and without; both must succeed. */
void temp_put(struct temp *t, const char *path, const char *bytes);
void temp_put_loose(struct temp *t, const char *path, const char *bytes);
void temp_sync(struct temp *t);
/* The object must be there and hold just these bytes. */
void temp_assert_holds(struct temp *t, const char *path, const char *bytes);
/* Makes it where it is missing, opens, appends, leaves open. */
struct rs_storage_file *temp_grow(struct temp *t, const char *path, const char *bytes);
/* The children of a directory, sorted: "name " of each, "name/ " of directories. The caller frees. */
char *temp_names(struct temp *t, const char *path);
