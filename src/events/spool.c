/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The appender writes to the last segment, the reader reads from the oldest; both look at the list of segments under
 * the lock, and touch files outside of it. A segment that leaves the list is unlinked; whoever has it open reads on,
 * and finds out when it looks at the list again. A segment is never appended to by a later process: so only its end can
 * be torn, and what is behind a torn record is nothing.
 */
#include "events/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "events/record.h"
#include "events/spool_priv.h"

#define NAME_DIGITS 16

void spool_segment_path(const struct spool *s, uint64_t number, char *out, size_t size)
{
    RS_ASSERT(snprintf(out, size, "%s/%016llx", s->directory, (unsigned long long)number) < (int)size);
}

void spool_remove_file(const struct spool *s, uint64_t number)
{
    char path[PATH_MAX];

    spool_segment_path(s, number, path, sizeof path);
    unlink(path); /* what stays is found and removed at the next start */
}

struct spool_segment *spool_find_locked(struct spool *s, uint64_t number)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->segments[i].number == number)
            return &s->segments[i];
    return NULL;
}

void spool_add_segment_locked(struct spool *s, struct spool_segment segment)
{
    if (s->count == s->cap) {
        s->cap = s->cap > 0 ? s->cap * 2 : 16;
        s->segments = rs_realloc(s->segments, s->cap * sizeof *s->segments);
    }
    if (s->count == 0)
        s->mark = (struct spool_mark){.segment = segment.number};
    s->segments[s->count++] = segment;
    s->last = segment.number;
    s->bytes += segment.bytes;
}

uint64_t spool_drop_oldest_locked(struct spool *s)
{
    const struct spool_segment oldest = s->segments[0];

    s->count--;
    memmove(s->segments, s->segments + 1, s->count * sizeof *s->segments);
    s->bytes -= oldest.bytes;
    if (s->mark.segment == oldest.number && s->count > 0)
        s->mark = (struct spool_mark){.segment = s->segments[0].number};
    return oldest.number;
}

/* --- what an earlier process left --- */

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static bool parse_name(const char *name, uint64_t *out)
{
    uint8_t raw[NAME_DIGITS / 2];

    if (!rs_hex_decode(rs_str_c(name), raw, sizeof raw))
        return false;
    *out = 0;
    for (size_t i = 0; i < sizeof raw; i++)
        *out = *out << 8 | raw[i];
    return *out > 0 && *out < UINT64_MAX;
}

/* The numbers of the segments that are there, in order. */
static rs_rc list_numbers(const struct spool *s, uint64_t **out, size_t *out_count, struct rs_err *err)
{
    RS_AUTO(rs_dir_close) DIR *dir = opendir(s->directory);
    size_t cap = 0;
    uint64_t number;

    if (dir == NULL)
        return rs_err_sys(err, errno, "open %s", s->directory);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (!parse_name(entry->d_name, &number))
            continue;
        if (*out_count == cap) {
            cap = cap > 0 ? cap * 2 : 16;
            *out = rs_realloc(*out, cap * sizeof **out);
        }
        (*out)[(*out_count)++] = number;
    }
    if (*out_count > 0)
        qsort(*out, *out_count, sizeof **out, by_number);
    return RS_OK;
}

/* Counts the records behind `from`. */
static struct spool_segment look_at(const struct spool *s, uint64_t number, uint64_t from)
{
    struct spool_segment found = {.number = number};
    struct stat st;
    char path[PATH_MAX];

    spool_segment_path(s, number, path, sizeof path);
    RS_AUTO(rs_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return found;
    found.bytes = (uint64_t)st.st_size;
    while (record_skip(fd, from, found.bytes, &from) == RECORD_WHOLE)
        found.records++;
    return found;
}

static rs_rc find_segments(struct spool *s, const struct spool_mark *mark, struct rs_err *err)
{
    RS_AUTO(rs_free_ptr) uint64_t *numbers = NULL;
    size_t count = 0;

    RS_TRY(list_numbers(s, &numbers, &count, err));
    s->last = mark->segment;
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] < mark->segment) {
            spool_remove_file(s, numbers[i]);
            continue;
        }
        bool here = numbers[i] == mark->segment;
        struct spool_segment found = look_at(s, numbers[i], here ? mark->offset : 0);
        spool_add_segment_locked(s, found);
        s->pending += found.records;
        if (here)
            s->mark.offset = RS_MIN(mark->offset, found.bytes);
    }
    return RS_OK;
}

rs_rc spool_open(struct spool *s, const char *directory, uint64_t max_bytes, struct rs_err *err)
{
    struct spool_mark mark = {0};

    *s = (struct spool){.position = -1, .write_fd = -1, .read_fd = -1, .max_bytes = max_bytes};
    s->segment_bytes = RS_MIN(max_bytes / SEGMENTS_OF_A_SPOOL, SEGMENT_MAX);
    s->directory = rs_strdup(directory);
    rs_mutex_init(&s->lock, RS_LOCK_SPOOL);
    rs_cond_init(&s->more);
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return rs_err_sys(err, errno, "make %s", directory);
    RS_TRY(spool_position_open(s, &mark, err));
    return find_segments(s, &mark, err);
}

void spool_release(struct spool *s)
{
    rs_fd_close(&s->position);
    rs_fd_close(&s->write_fd);
    rs_fd_close(&s->read_fd);
    free(s->segments);
    rs_free_ptr(&s->directory);
    pthread_cond_destroy(&s->more);
    rs_mutex_release(&s->lock);
}

/* --- waiting, and being told --- */

bool spool_wait(struct spool *s, int64_t ms)
{
    int64_t end = rs_mono_ms() + ms;

    rs_mutex_lock(&s->lock);
    while (s->pending == 0 && !s->closing && rs_mono_ms() < end)
        rs_cond_wait_ms(&s->more, &s->lock, RS_MAX(end - rs_mono_ms(), 1));
    bool any = s->pending > 0 && !s->closing;
    rs_mutex_unlock(&s->lock);
    return any;
}

bool spool_pause(struct spool *s, int64_t ms)
{
    int64_t end = rs_mono_ms() + ms;

    rs_mutex_lock(&s->lock);
    while (!s->closing && rs_mono_ms() < end)
        rs_cond_wait_ms(&s->more, &s->lock, RS_MAX(end - rs_mono_ms(), 1));
    bool on = !s->closing;
    rs_mutex_unlock(&s->lock);
    return on;
}

void spool_close(struct spool *s)
{
    rs_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->more);
    rs_mutex_unlock(&s->lock);
}

void spool_stats(struct spool *s, uint64_t *out_pending, uint64_t *out_dropped, uint64_t *out_bytes)
{
    rs_mutex_lock(&s->lock);
    *out_pending = s->pending;
    *out_dropped = s->dropped;
    *out_bytes = s->bytes;
    rs_mutex_unlock(&s->lock);
}
