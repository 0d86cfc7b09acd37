/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body source: where the bytes of an answer come from. Handlers and storage make one, the HTTP server sends it
 * (and may park it while the client is slow). By value, moved not copied; one owner at a time, any thread.
 */
#pragma once

#include "base/cc.h"
#include "base/err.h"
#include "base/str.h"

enum rs_source_kind {
    RS_SOURCE_NONE,   /* no bytes */
    RS_SOURCE_MEMORY, /* bytes that stay valid until the release */
    RS_SOURCE_FILE,   /* a range of an open file: leaves by sendfile */
};

struct rs_source {
    enum rs_source_kind kind;
    uint64_t length;    /* bytes that are left to send */
    const char *memory; /* RS_SOURCE_MEMORY */
    int fd;             /* RS_SOURCE_FILE; closed by the release */
    uint64_t offset;    /* RS_SOURCE_FILE: of the next byte */
    /* Called once by rs_source_release with owner; may be NULL. */
    void (*release)(void *owner);
    void *owner;
};

struct rs_source rs_source_memory(rs_str bytes, void (*release)(void *owner), void *owner);
struct rs_source rs_source_file(int fd, uint64_t offset, uint64_t length); /* takes the descriptor */
void rs_source_release(struct rs_source *s);                               /* then RS_SOURCE_NONE */
/* Narrows to `length` bytes from `offset`; both must lie inside. Memory and files only. */
void rs_source_narrow(struct rs_source *s, uint64_t offset, uint64_t length);
