/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of the driver in memory.
 *
 * REGIONS. A descriptor for each object would soon be one too many. So there are a few memory files, and each object
 * that is not small has a region of one of them to itself: an address range as long as the limit of the whole storage,
 * of which only the pages that hold bytes exist. Bytes that were once acknowledged never change, so readers need no
 * lock; when the last reference goes, the pages are given back and the region can be used again. Several files, since
 * writers of one file wait for each other.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "storage/memory_priv.h"

#define PAGE 4096u
/* Of the offsets that a file can have; far more than there can be pages. */
#define FILE_SHIFT 62

/* --- books --- */

rs_rc memory_charge_locked(struct memory *memory, uint64_t bytes, struct rs_err *err)
{
    if (bytes > memory->limit - memory->used)
        return rs_err_set(err, RS_E_STORAGE_FULL,
                          "the storage in memory is full: it may use %llu bytes (roadstead.storage.inmemory_size)",
                          (unsigned long long)memory->limit);
    memory->used += bytes;
    return RS_OK;
}

uint64_t memory_next_stamp_locked(struct memory *memory)
{
    if (++memory->stamp == 0)
        memory->stamp = 1;
    return memory->stamp;
}

static rs_rc charge(struct memory *memory, uint64_t bytes, struct rs_err *err)
{
    rs_mutex_lock(&memory->mutex);
    rs_rc rc = memory_charge_locked(memory, bytes, err);
    rs_mutex_unlock(&memory->mutex);
    return rc;
}

/* --- regions --- */

static rs_rc take_region_locked(struct memory *memory, uint64_t *out, struct rs_err *err)
{
    if (memory->free_count > 0)
        *out = memory->free_regions[--memory->free_count];
    else if (memory->next_region < memory->region_max)
        *out = memory->next_region++;
    else
        return rs_err_set(err, RS_E_STORAGE_FULL, "the storage in memory has too many objects");
    return RS_OK;
}

static void give_region_locked(struct memory *memory, uint64_t region)
{
    if (memory->free_count == memory->free_cap) {
        memory->free_cap = RS_MAX(64, memory->free_cap * 2);
        memory->free_regions = rs_realloc(memory->free_regions, memory->free_cap * sizeof(*memory->free_regions));
    }
    memory->free_regions[memory->free_count++] = region;
}

static int file_of(const struct memory_object *object)
{
    return object->memory->files[object->region % MEMORY_FILES];
}

static off_t start_of(const struct memory_object *object)
{
    return (off_t)(object->region / MEMORY_FILES << object->memory->region_shift);
}

/* False: the pages are still there, which is unheard of; then region and charge stay taken. */
static bool give_pages_back(const struct memory_object *object)
{
    off_t span = (off_t)1 << object->memory->region_shift;
    int rc;
    do
        rc = fallocate(file_of(object), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start_of(object), span);
    while (rc != 0 && errno == EINTR);
    return rc == 0;
}

static rs_rc write_region(const struct memory_object *object, uint64_t offset, const char *data, size_t len,
                          struct rs_err *err)
{
    while (len > 0) {
        ssize_t n = pwrite(file_of(object), data, len, start_of(object) + (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rs_err_sys(err, errno == ENOMEM ? ENOSPC : errno, "cannot keep bytes in memory");
        data += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return RS_OK;
}

/* --- objects --- */

static struct memory_object *object_new(struct memory *memory, bool on_heap, size_t size)
{
    struct memory_object *object = rs_malloc(sizeof(*object) + (on_heap ? size : 0));
    *object = (struct memory_object){.memory = memory, .on_heap = on_heap, .region = MEMORY_NO_REGION};
    object->size = on_heap ? size : 0;
    atomic_init(&object->refs, 1);
    object->mtime_s = rs_wall_s();
    rs_mutex_lock(&memory->mutex);
    object->stamp = memory_next_stamp_locked(memory);
    rs_mutex_unlock(&memory->mutex);
    return object;
}

struct memory_object *memory_object_new(struct memory *memory)
{
    return object_new(memory, false, 0);
}

/* Its bytes are for the caller to fill in. */
static rs_rc heap_object_new(struct memory *memory, size_t size, struct memory_object **out, struct rs_err *err)
{
    uint64_t cost = sizeof(struct memory_object) + size;
    RS_TRY(charge(memory, cost, err));
    *out = object_new(memory, true, size);
    (*out)->charged = cost;
    return RS_OK;
}

rs_rc memory_object_of(struct memory *memory, rs_str bytes, struct memory_object **out, struct rs_err *err)
{
    if (bytes.len <= MEMORY_SMALL) {
        RS_TRY(heap_object_new(memory, bytes.len, out, err));
        if (bytes.len > 0)
            memcpy((*out)->bytes, bytes.ptr, bytes.len);
        return RS_OK;
    }
    RS_AUTO(memory_object_unref) struct memory_object *object = memory_object_new(memory);
    RS_TRY(memory_object_append(object, bytes.ptr, bytes.len, err));
    *out = rs_take(&object);
    return RS_OK;
}

static rs_rc read_all(struct memory_object *object, uint64_t size, char *out, struct rs_err *err)
{
    for (uint64_t done = 0; done < size;) {
        size_t n;
        RS_TRY(memory_object_read(object, size, done, out + done, (size_t)(size - done), &n, err));
        if (n == 0)
            return rs_err_set(err, RS_E_IO, "bytes in memory are gone");
        done += n;
    }
    return RS_OK;
}

rs_rc memory_object_copy(struct memory_object *from, uint64_t size, bool to_heap, struct memory_object **out,
                         struct rs_err *err)
{
    RS_ASSERT(size <= MEMORY_SMALL);
    RS_AUTO(memory_object_unref) struct memory_object *copy = NULL;
    if (to_heap) {
        RS_TRY(heap_object_new(from->memory, (size_t)size, &copy, err));
        RS_TRY(read_all(from, size, copy->bytes, err));
    } else {
        copy = memory_object_new(from->memory);
        RS_TRY(memory_object_append(copy, from->bytes, (size_t)size, err));
    }
    *out = rs_take(&copy);
    return RS_OK;
}

struct memory_object *memory_object_ref(struct memory_object *object)
{
    atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
    return object;
}

static void object_free(struct memory_object *object)
{
    struct memory *memory = object->memory;
    bool has_region = object->region != MEMORY_NO_REGION;
    bool given = !has_region || give_pages_back(object);
    rs_mutex_lock(&memory->mutex);
    if (given)
        memory->used -= object->charged;
    if (given && has_region)
        give_region_locked(memory, object->region);
    rs_mutex_unlock(&memory->mutex);
    free(object);
}

void memory_object_unref(struct memory_object **object)
{
    struct memory_object *taken = rs_take(object);
    if (taken != NULL && atomic_fetch_sub_explicit(&taken->refs, 1, memory_order_acq_rel) == 1)
        object_free(taken);
}

static uint64_t pages_of(uint64_t size)
{
    return sizeof(struct memory_object) + (size + PAGE - 1) / PAGE * PAGE;
}

/* Before bytes are written: a region, and a place in the books. *out_added: what to give back if it fails. */
static rs_rc reserve(struct memory_object *object, size_t len, uint64_t *out_added, struct rs_err *err)
{
    struct memory *memory = object->memory;
    rs_mutex_lock(&memory->mutex);
    uint64_t charged = pages_of(object->size + RS_MIN(len, memory->limit));
    uint64_t added = charged > object->charged ? charged - object->charged : 0;
    rs_rc rc = memory_charge_locked(memory, added, err);
    if (rc == RS_OK) {
        object->charged += added;
        *out_added = added;
        if (object->region == MEMORY_NO_REGION)
            rc = take_region_locked(memory, &object->region, err);
    }
    rs_mutex_unlock(&memory->mutex);
    return rc;
}

rs_rc memory_object_append(struct memory_object *object, const void *data, size_t len, struct rs_err *err)
{
    struct memory *memory = object->memory;
    uint64_t added = 0;
    RS_ASSERT(!object->on_heap);
    if (len == 0)
        return RS_OK;
    rs_rc rc = reserve(object, len, &added, err);
    if (rc == RS_OK)
        rc = write_region(object, object->size, data, len, err);
    rs_mutex_lock(&memory->mutex);
    if (rc == RS_OK) {
        object->size += len;
        object->stamp = memory_next_stamp_locked(memory);
        object->mtime_s = rs_wall_s();
    } else {
        object->charged -= added;
        memory->used -= added;
    }
    rs_mutex_unlock(&memory->mutex);
    return rc;
}

rs_rc memory_object_read(struct memory_object *object, uint64_t size, uint64_t offset, void *buf, size_t cap,
                         size_t *out_n, struct rs_err *err)
{
    size_t want = offset < size ? (size_t)RS_MIN(cap, size - offset) : 0;
    ssize_t n = (ssize_t)want;
    if (want > 0 && object->on_heap)
        memcpy(buf, object->bytes + offset, want);
    while (want > 0 && !object->on_heap) {
        n = pread(file_of(object), buf, want, start_of(object) + (off_t)offset);
        if (n >= 0 || errno != EINTR)
            break;
    }
    if (n < 0)
        return rs_err_sys(err, errno, "cannot read bytes in memory");
    *out_n = (size_t)n;
    return RS_OK;
}

static void release_sent(void *owner)
{
    struct memory_object *object = owner;
    memory_object_unref(&object);
}

rs_rc memory_object_source(struct memory_object *object, uint64_t size, struct rs_source *out, struct rs_err *err)
{
    if (object->on_heap || size == 0) {
        *out = rs_source_memory((rs_str){object->bytes, (size_t)size}, release_sent, object);
        return RS_OK;
    }
    int fd = fcntl(file_of(object), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return rs_err_sys(err, errno, "cannot open bytes in memory");
    *out = rs_source_file(fd, (uint64_t)start_of(object), size);
    out->release = release_sent;
    out->owner = object;
    return RS_OK;
}

/* --- the whole --- */

int memory_data_init(struct memory *memory)
{
    while ((UINT64_C(1) << memory->region_shift) < memory->limit + PAGE)
        memory->region_shift++;
    memory->region_max = (UINT64_C(1) << (FILE_SHIFT - memory->region_shift)) * MEMORY_FILES;
    for (size_t i = 0; i < MEMORY_FILES; i++)
        memory->files[i] = -1;
    for (size_t i = 0; i < MEMORY_FILES; i++) {
        memory->files[i] = memfd_create("roadstead-storage", MFD_CLOEXEC);
        if (memory->files[i] < 0)
            return errno;
    }
    return 0;
}

void memory_data_release(struct memory *memory)
{
    for (size_t i = 0; i < MEMORY_FILES; i++)
        rs_fd_close(&memory->files[i]);
    free(memory->free_regions);
}
