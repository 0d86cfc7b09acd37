/* SPDX-License-Identifier: Apache-2.0 */
#include "events/record.h"

#include <errno.h>
#include <unistd.h>

#include "base/hash.h"

#define MAGIC "RSN1"
#define SUM 8 /* bytes of a SHA-256: this is about torn writes, not about enemies */

struct head {
    char magic[4];
    uint32_t length; /* in the machine's order: a queue does not leave its machine */
    uint8_t sum[SUM];
};
_Static_assert(sizeof(struct head) == RECORD_HEAD, "no holes");

static void sum(const void *data, size_t len, uint8_t out[SUM])
{
    uint8_t hash[RS_HASH_MAX];

    rs_hash_once(RS_SHA256, data, len, hash);
    memcpy(out, hash, SUM);
}

void record_add(struct rs_buf *out, rs_str event)
{
    struct head head = {.length = (uint32_t)event.len};

    RS_ASSERT(event.len > 0 && event.len <= RECORD_MAX);
    memcpy(head.magic, MAGIC, sizeof head.magic);
    sum(event.ptr, event.len, head.sum);
    rs_buf_append(out, &head, sizeof head);
    rs_buf_add(out, event);
}

size_t record_length(const char *record)
{
    struct head head;

    memcpy(&head, record, sizeof head);
    return sizeof head + head.length;
}

static bool read_at(int fd, uint64_t offset, void *out, size_t len)
{
    char *at = out;

    while (len > 0) {
        ssize_t n = pread(fd, at, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

static enum record_state read_head(int fd, uint64_t offset, uint64_t end, struct head *out)
{
    if (offset >= end)
        return RECORD_END;
    if (end - offset < sizeof *out || !read_at(fd, offset, out, sizeof *out))
        return RECORD_BROKEN;
    if (memcmp(out->magic, MAGIC, sizeof out->magic) != 0 || out->length == 0 || out->length > RECORD_MAX)
        return RECORD_BROKEN;
    return end - offset - sizeof *out < out->length ? RECORD_BROKEN : RECORD_WHOLE;
}

enum record_state record_skip(int fd, uint64_t offset, uint64_t end, uint64_t *out_next)
{
    struct head head;
    enum record_state state = read_head(fd, offset, end, &head);

    if (state == RECORD_WHOLE)
        *out_next = offset + sizeof head + head.length;
    return state;
}

enum record_state record_read(int fd, uint64_t offset, uint64_t end, struct rs_buf *out, uint64_t *out_next)
{
    struct head head;
    uint8_t found[SUM];
    enum record_state state = read_head(fd, offset, end, &head);

    if (state != RECORD_WHOLE)
        return state;
    char *at = rs_buf_reserve(out, head.length);
    RS_ASSERT(at != NULL);
    if (!read_at(fd, offset + sizeof head, at, head.length))
        return RECORD_BROKEN;
    sum(at, head.length, found);
    if (memcmp(found, head.sum, SUM) != 0)
        return RECORD_BROKEN;
    out->len += head.length;
    *out_next = offset + sizeof head + head.length;
    return RECORD_WHOLE;
}
