/* SPDX-License-Identifier: Apache-2.0 */
/* Between children.c (which readings there are) and children_read.c (how one is made). */
#pragma once

#include <stdatomic.h>

#include "registry/children.h"

/* A reading of at most this many bytes lies in memory. */
#define RS_CHILDREN_SMALL (64 * 1024)

/* A note in a file: see NOTES in children_read.c. */
struct rs_children_note_pair {
    atomic_uint_fast64_t note;
    atomic_uint_fast64_t check;
};

struct rs_children {
    atomic_uint refs;
    size_t count;
    const uint64_t *places;                      /* of each name and of the end: offset << 1 | is a directory */
    const char *names;                           /* one after the other */
    atomic_uint_fast64_t *notes;                 /* in memory; NULL: in the file */
    const struct rs_children_note_pair *in_file; /* mapped */
    int fd;                                      /* -1: in memory */
    off_t notes_at;                              /* in the file */
    void *map;
    size_t size; /* bytes in memory, or of the file */
};

/* Reads the directory. Notes are taken over from `old`, which may be NULL. One reference, the caller's. */
rs_rc rs_children_read(struct rs_storage *storage, const char *state_dir, const char *path,
                       const struct rs_children *old, struct rs_children **out, struct rs_err *err);
void rs_children_ref(struct rs_children *c);
