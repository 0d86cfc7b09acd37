/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory's children in byte order, from a sorted reading of it that is made anew when the directory has changed,
 * whoever changed it. Any number of children costs the same memory: a large reading lies in a file without a name in
 * the registry's state directory, and both the readings in memory and the open files are bounded. Nothing of it
 * survives the process. If the state directory cannot be used, each call reads the directory again. Private to the
 * registry; any thread.
 */
#pragma once

#include "registry/registry.h"

/* A reading. Immutable but for the notes; it stays as it is while somebody holds it. */
struct rs_children;

/* As the directory is now, or was after this call began. RS_E_NOT_FOUND if there is none. */
rs_rc rs_children_open(struct rs_registry *registry, const char *path, struct rs_children **out, struct rs_err *err);
void rs_children_unref(struct rs_children **children);
size_t rs_children_count(const struct rs_children *c);
size_t rs_children_after(const struct rs_children *c, rs_str after); /* index of the first name > after */
rs_str rs_children_name(const struct rs_children *c, size_t i);      /* valid until the unref */
bool rs_children_is_directory(const struct rs_children *c, size_t i);

/* A note on each child, for whoever this kind of directory belongs to: 64 bits, 0 at first, carried over when the
 * directory is read anew while the name stays; also if the child was removed and made again in between, so that a note
 * must say what is true of the name for good, or hold something by which it is recognised as old. It may be lost and is
 * then 0 again. */
uint64_t rs_children_note(const struct rs_children *c, size_t i);
void rs_children_set_note(struct rs_children *c, size_t i, uint64_t note);

/* What a registry keeps of its readings. `state_dir` is borrowed; NULL: no files. */
struct rs_children_cache;
struct rs_children_cache *rs_children_cache_new(const char *state_dir);
void rs_children_cache_free(struct rs_children_cache **cache);
