/* SPDX-License-Identifier: Apache-2.0 */
#include "base/source.h"

#include "base/io.h"

struct rs_source rs_source_memory(rs_str bytes, void (*release)(void *owner), void *owner)
{
    return (struct rs_source){.kind = RS_SOURCE_MEMORY,
                              .length = bytes.len,
                              .memory = bytes.ptr,
                              .fd = -1,
                              .release = release,
                              .owner = owner};
}

struct rs_source rs_source_file(int fd, uint64_t offset, uint64_t length)
{
    return (struct rs_source){.kind = RS_SOURCE_FILE, .length = length, .fd = fd, .offset = offset};
}

void rs_source_release(struct rs_source *s)
{
    if (s->kind == RS_SOURCE_FILE)
        rs_fd_close(&s->fd);
    if (s->kind != RS_SOURCE_NONE && s->release != NULL)
        s->release(s->owner);
    *s = (struct rs_source){.kind = RS_SOURCE_NONE, .fd = -1};
}

void rs_source_narrow(struct rs_source *s, uint64_t offset, uint64_t length)
{
    RS_ASSERT(s->kind == RS_SOURCE_MEMORY || s->kind == RS_SOURCE_FILE);
    RS_ASSERT(offset <= s->length && length <= s->length - offset);
    if (s->kind == RS_SOURCE_MEMORY && offset > 0)
        s->memory += offset;
    else
        s->offset += offset;
    s->length = length;
}
