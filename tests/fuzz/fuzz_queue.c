/* SPDX-License-Identifier: Apache-2.0 */
/* A segment of a queue of notifications: what a crash, or somebody, has left on the disk. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "events/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const uint8_t *data, uint64_t offset, uint64_t next, const struct rs_buf *event)
{
    struct rs_buf again;

    rs_buf_init(&again, RECORD_MAX + RECORD_HEAD);
    record_add(&again, rs_buf_str(event));
    RS_ASSERT(again.len == next - offset);
    RS_ASSERT(memcmp(again.ptr, data + offset, again.len) == 0);
    RS_ASSERT(record_length(again.ptr) == again.len);
    rs_buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("segment", MFD_CLOEXEC);
    uint64_t offset = 0, next = 0, skipped = 0;
    struct rs_buf event;

    RS_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    rs_buf_init(&event, RECORD_MAX);
    /* The directory's list may know of more bytes than the file has, and of fewer. */
    const uint64_t ends[] = {size, size / 2, size + 100};
    for (size_t i = 0; i < RS_COUNT(ends); i++) {
        enum record_state state;
        for (offset = 0;
             rs_buf_clear(&event), (state = record_read(fd, offset, ends[i], &event, &next)) == RECORD_WHOLE;
             offset = next) {
            RS_ASSERT(next > offset && next <= ends[i] && next <= size);
            RS_ASSERT(record_skip(fd, offset, ends[i], &skipped) == RECORD_WHOLE && skipped == next);
            check_record(data, offset, next, &event);
        }
        RS_ASSERT((state == RECORD_END) == (offset >= ends[i]));
        RS_ASSERT(event.len == 0);
    }
    rs_buf_release(&event);
    close(fd);
    return 0;
}
