/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the files of spool.h. */
#pragma once

#include "events/spool.h"

#define SEGMENTS_OF_A_SPOOL 16 /* its size is divided so: what is dropped is dropped by this share */
#define SEGMENT_MAX (8 * 1024 * 1024)

/* The name of a segment's file, below the directory. */
void spool_segment_path(const struct spool *s, uint64_t number, char *out, size_t size);
void spool_remove_file(const struct spool *s, uint64_t number);
/* The oldest segment leaves the list, with the mark if it stands there. Its number is returned. */
uint64_t spool_drop_oldest_locked(struct spool *s);
struct spool_segment *spool_find_locked(struct spool *s, uint64_t number); /* NULL: gone */
void spool_add_segment_locked(struct spool *s, struct spool_segment segment);

/* --- the file that keeps the mark --- */
rs_rc spool_position_open(struct spool *s, struct spool_mark *out, struct rs_err *err);
void spool_position_write(struct spool *s, const struct spool_mark *mark);
