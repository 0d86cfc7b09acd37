/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "events/record.h"
#include "events/spool_priv.h"

#define SUM 8

/* --- the file that keeps the mark: overwritten in place, so a sum tells whether it is whole --- */

struct position {
    char magic[8];
    uint64_t segment;
    uint64_t offset;
    uint8_t sum[SUM];
};

static struct position make_position(uint64_t segment, uint64_t offset)
{
    struct position position = {.magic = "RSNpos1", .segment = segment, .offset = offset};
    uint8_t hash[RS_HASH_MAX];

    rs_hash_once(RS_SHA256, &position, offsetof(struct position, sum), hash);
    memcpy(position.sum, hash, SUM);
    return position;
}

/* What is not whole means that everything that is still there is delivered once more. */
rs_rc spool_position_open(struct spool *s, struct spool_mark *out, struct rs_err *err)
{
    char path[PATH_MAX];
    struct position found;
    size_t n = 0;

    if (snprintf(path, sizeof path, "%s/position", s->directory) >= (int)sizeof path)
        return rs_err_set(err, RS_E_IO, "the path of the state directory is too long");
    s->position = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->position < 0)
        return rs_err_sys(err, errno, "open %s", path);
    RS_TRY(rs_read_full(s->position, &found, sizeof found, &n, err));
    if (n != sizeof found || found.segment == UINT64_MAX)
        return RS_OK;
    const struct position expected = make_position(found.segment, found.offset);
    if (memcmp(&expected, &found, sizeof found) == 0)
        *out = (struct spool_mark){.segment = found.segment, .offset = found.offset};
    return RS_OK;
}

/* An error costs a second delivery at most. */
void spool_position_write(struct spool *s, const struct spool_mark *mark)
{
    const struct position position = make_position(mark->segment, mark->offset);

    (void)!pwrite(s->position, &position, sizeof position, 0);
}

/* --- reading --- */

static bool open_segment(struct spool *s, uint64_t number)
{
    char path[PATH_MAX];

    if (s->read_fd >= 0 && s->read_number == number)
        return true;
    rs_fd_close(&s->read_fd);
    spool_segment_path(s, number, path, sizeof path);
    s->read_fd = open(path, O_RDONLY | O_CLOEXEC);
    s->read_number = number;
    return s->read_fd >= 0;
}

/* RECORD_END: not now. */
static enum record_state read_next(struct spool *s, struct spool_mark *mark, uint64_t end, struct rs_buf *out)
{
    if (!open_segment(s, mark->segment))
        return errno == ENOENT ? RECORD_BROKEN : RECORD_END;
    return record_read(s->read_fd, mark->offset, end, out, &mark->offset);
}

/* What can be read where the mark stands. The appender may have dropped that segment: then the mark is set anew. False:
 * nothing at all. */
static bool look(struct spool *s, struct spool_mark *mark, uint64_t *out_end)
{
    rs_mutex_lock(&s->lock);
    struct spool_segment *segment = spool_find_locked(s, mark->segment);
    if (segment == NULL && s->count > 0) {
        *mark = s->mark;
        segment = spool_find_locked(s, mark->segment);
    }
    if (segment != NULL && mark->offset >= segment->bytes && segment != &s->segments[s->count - 1]) {
        segment++;
        *mark = (struct spool_mark){.segment = segment->number};
    }
    *out_end = segment != NULL ? segment->bytes : 0;
    bool any = segment != NULL && (mark->offset < segment->bytes || segment != &s->segments[s->count - 1]);
    rs_mutex_unlock(&s->lock);
    return any;
}

/* The rest of the segment is of no use. */
static void pass_over(struct spool *s, struct spool_mark *mark, uint64_t end)
{
    rs_mutex_lock(&s->lock);
    struct spool_segment *segment = spool_find_locked(s, mark->segment);
    if (segment != NULL) {
        uint64_t lost = segment->records - mark->records;
        s->dropped += lost > 0 ? lost : 1;
        s->pending -= lost;
        segment->records = mark->records;
    }
    rs_mutex_unlock(&s->lock);
    mark->offset = end;
}

void spool_read(struct spool *s, size_t max, struct rs_buf *out, size_t *out_count, struct spool_mark *out_mark)
{
    uint64_t end;

    rs_mutex_lock(&s->lock);
    struct spool_mark mark = s->mark;
    rs_mutex_unlock(&s->lock);
    *out_count = 0;
    while (*out_count < max && out->len < RECORD_MAX && look(s, &mark, &end)) {
        size_t before = out->len;
        if (*out_count > 0)
            rs_buf_add_char(out, ',');
        enum record_state state = read_next(s, &mark, end, out);
        if (state == RECORD_WHOLE) {
            mark.records++;
            ++*out_count;
            continue;
        }
        out->len = before;
        if (state == RECORD_END && mark.offset < end)
            break; /* no descriptor to be had, say */
        if (state == RECORD_BROKEN)
            pass_over(s, &mark, end);
    }
    *out_mark = mark;
    if (*out_count == 0)
        spool_done(s, &mark); /* what was passed over is not looked at again */
}

void spool_done(struct spool *s, const struct spool_mark *mark)
{
    uint64_t gone[64];
    size_t count = 0;

    rs_mutex_lock(&s->lock);
    /* If the appender has dropped the segment, the mark is further already. */
    bool valid = spool_find_locked(s, mark->segment) != NULL && mark->segment >= s->mark.segment;
    while (valid && s->segments[0].number < mark->segment && count < RS_COUNT(gone)) {
        s->pending -= s->segments[0].records - s->mark.records;
        gone[count++] = spool_drop_oldest_locked(s);
    }
    valid = valid && s->mark.segment == mark->segment;
    if (valid) {
        s->pending -= mark->records - s->mark.records;
        s->mark = *mark;
    }
    rs_mutex_unlock(&s->lock);
    if (valid)
        spool_position_write(s, mark);
    while (count > 0)
        spool_remove_file(s, gone[--count]);
}
