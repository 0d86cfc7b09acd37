/* SPDX-License-Identifier: Apache-2.0 */
/* Private to events: the records of a queue's segments. 16 bytes of head (magic, length, checksum), then an event. */
#pragma once

#include "base/str.h"

#define RECORD_HEAD 16
#define RECORD_MAX (2 * 1024 * 1024) /* bytes of an event */

enum record_state {
    RECORD_WHOLE,
    RECORD_END,    /* nothing behind the offset */
    RECORD_BROKEN, /* torn, or damaged: what follows in this segment cannot be read */
};

/* The length of the record that begins there, made by record_add. */
size_t record_length(const char *record);
void record_add(struct rs_buf *out, rs_str event);
/* Is there a head at the offset, whose record ends before `end`? *out_next: where the next one begins. */
enum record_state record_skip(int fd, uint64_t offset, uint64_t end, uint64_t *out_next);
/* The same; and the event is appended to out, whose ceiling is above RECORD_MAX. */
enum record_state record_read(int fd, uint64_t offset, uint64_t end, struct rs_buf *out, uint64_t *out_next);
