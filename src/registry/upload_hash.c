/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HASHSTATES. registry:2 keeps the state of the hash after n bytes in hashstates/<algorithm>/<n>, in the form of Go's
 * encoding.BinaryMarshaler. We read and write the same files, so that either program carries on the other's uploads.
 *
 * A state vouches for bytes: whoever carries it on does not look at them again. It may outlive them, since neither is
 * synced before the commit, and a failed sync gives bytes up. So it is believed only if the storage trusts the bytes
 * (they were written since the machine's start) and no state stands beyond their end. Otherwise all states are removed
 * before anything is appended, or one of them would later vouch for other bytes, and the bytes are read again.
 */
#include "registry/upload_hash.h"

#include "base/mem.h"
#include "layout/paths.h"

#define READ_SIZE (64 * 1024)

/* Looks for the highest offset that is at most the limit. */
struct newest {
    uint64_t limit;
    uint64_t offset;
    bool found;
    bool beyond; /* there is one above the limit */
};

static bool visit_state(void *ctx, rs_str name, bool is_directory)
{
    struct newest *n = ctx;
    uint64_t offset;
    if (is_directory || !rs_str_u64(name, UINT64_MAX, &offset))
        return true;
    if (offset > n->limit)
        n->beyond = true;
    else if (!n->found || offset > n->offset)
        *n = (struct newest){.limit = n->limit, .offset = offset, .found = true, .beyond = n->beyond};
    return true;
}

static struct newest find_newest(struct rs_upload_hash *h, enum rs_hash_alg alg, uint64_t limit)
{
    struct rs_path path;
    struct newest n = {.limit = limit};
    rs_path_hashstates(&path, h->repository, h->uuid, alg);
    rs_rc rc = rs_storage_scan(h->storage, path.z, visit_state, &n, NULL);
    if (rc != RS_OK)
        return (struct newest){.limit = limit, .beyond = rc != RS_E_NOT_FOUND}; /* who knows */
    return n;
}

static rs_rc forget_states(struct rs_upload_hash *h, struct rs_err *err)
{
    struct rs_path path;
    return rs_storage_remove(h->storage, rs_path_all_hashstates(&path, h->repository, h->uuid), NULL, err);
}

static bool load(struct rs_upload_hash *h, enum rs_hash_alg alg, uint64_t offset)
{
    struct rs_path path;
    RS_AUTO(rs_buf_release) struct rs_buf state;
    rs_buf_init(&state, RS_HASH_STATE_MAX);
    rs_path_hashstate(&path, h->repository, h->uuid, alg, offset);
    if (rs_storage_read(h->storage, path.z, &state, NULL) != RS_OK)
        return false;
    struct rs_hash hash;
    if (!rs_hash_import(&hash, alg, state.ptr, state.len) || hash.length != offset)
        return false;
    h->hash = hash;
    return true;
}

static bool is_any_beyond(struct rs_upload_hash *h, uint64_t size)
{
    for (int alg = 0; alg < RS_HASH_ALGS; alg++)
        if (find_newest(h, (enum rs_hash_alg)alg, size).beyond)
            return true;
    return false;
}

/* From the newest state that can be used, if there is one. */
static void restore(struct rs_upload_hash *h, enum rs_hash_alg alg, uint64_t size)
{
    for (struct newest n = find_newest(h, alg, size); n.found; n = find_newest(h, alg, n.offset - 1)) {
        if (load(h, alg, n.offset)) {
            h->saved = n.offset;
            return;
        }
        if (n.offset == 0)
            return;
    }
}

/* Up to `size` bytes in all. */
static rs_rc read_on(struct rs_hash *hash, struct rs_storage_file *file, uint64_t size, struct rs_err *err)
{
    if (hash->length >= size)
        return RS_OK;
    RS_AUTO(rs_free_ptr) void *buf = rs_malloc(READ_SIZE);
    while (hash->length < size) {
        size_t n;
        RS_TRY(rs_storage_append_read(file, hash->length, buf, RS_MIN(READ_SIZE, size - hash->length), &n, err));
        if (n == 0)
            return rs_err_set(err, RS_E_IO, "an upload has become shorter while it was read");
        rs_hash_update(hash, buf, n);
    }
    return RS_OK;
}

rs_rc rs_upload_hash_open(struct rs_upload_hash *h, enum rs_hash_alg alg, struct rs_storage_file *file, uint64_t size,
                          struct rs_err *err)
{
    h->saved = 0;
    rs_hash_init(&h->hash, alg);
    if (size <= RS_REHASH_MAX || !rs_storage_append_trusted(file) || is_any_beyond(h, size))
        RS_TRY(forget_states(h, err));
    else
        restore(h, alg, size);
    return read_on(&h->hash, file, size, err);
}

void rs_upload_hash_save(struct rs_upload_hash *h)
{
    struct rs_path path;
    uint8_t state[RS_HASH_STATE_MAX];
    uint64_t offset = h->hash.length;
    if (offset == h->saved)
        return;
    size_t len = rs_hash_export(&h->hash, state);
    rs_path_hashstate(&path, h->repository, h->uuid, h->hash.alg, offset);
    if (rs_storage_put(h->storage, path.z, (rs_str){(const char *)state, len}, NULL, NULL) != RS_OK)
        return;
    if (h->saved > 0)
        rs_storage_remove(h->storage, rs_path_hashstate(&path, h->repository, h->uuid, h->hash.alg, h->saved), NULL,
                          NULL);
    h->saved = offset;
}

rs_rc rs_upload_hash_digest(const struct rs_upload_hash *h, enum rs_hash_alg alg, struct rs_storage_file *file,
                            struct rs_digest *out, struct rs_err *err)
{
    uint8_t raw[RS_HASH_MAX];
    struct rs_hash hash = h->hash; /* the running one may have to be suspended yet */
    if (hash.alg != alg) {
        rs_hash_init(&hash, alg);
        RS_TRY(read_on(&hash, file, h->hash.length, err));
    }
    rs_hash_final(&hash, raw);
    rs_digest_from_raw(alg, raw, out);
    return RS_OK;
}
