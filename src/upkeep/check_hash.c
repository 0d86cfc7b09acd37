/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a blob, at the rate that the operator allows. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "upkeep/check_priv.h"

#define PAUSE_MS 100

/* Waits until so many bytes may have been read since the beginning. */
static void keep_rate(struct check *c, size_t n)
{
    uint64_t rate = c->config->rate;
    c->read_bytes += n;
    c->counts->hashed_bytes += n;
    if (rate == 0)
        return;
    int64_t due_ms = c->began_ms + (int64_t)((double)c->read_bytes * 1000 / (double)rate);
    for (int64_t now = rs_mono_ms(); now < due_ms && check_goes_on(c); now = rs_mono_ms()) {
        rs_sleep_ms(RS_MIN(due_ms - now, PAUSE_MS));
    }
}

/* The next bytes; *out_n == 0 at the end. */
static rs_rc read_piece(struct check *c, struct rs_source *s, const char **out, size_t *out_n, struct rs_err *err)
{
    size_t wanted = (size_t)RS_MIN(s->length, (uint64_t)CHECK_PIECE);
    ssize_t n = (ssize_t)wanted;
    *out = s->memory;
    if (s->kind == RS_SOURCE_FILE) {
        *out = c->piece;
        do
            n = pread(s->fd, c->piece, wanted, (off_t)s->offset);
        while (n < 0 && errno == EINTR);
    }
    if (n < 0)
        return rs_err_sys(err, errno, "the disk does not give all of its bytes");
    *out_n = (size_t)n;
    rs_source_narrow(s, (uint64_t)n, s->length - (uint64_t)n);
    return RS_OK;
}

/* RS_OK with *out_short: the file ended before the length that it had. */
static rs_rc hash_source(struct check *c, struct rs_source *s, struct rs_hash *hash, bool *out_short,
                         struct rs_err *err)
{
    const char *piece;
    size_t n = 1;
    while (s->length > 0 && n > 0 && check_goes_on(c)) {
        RS_TRY(read_piece(c, s, &piece, &n, err));
        rs_hash_update(hash, piece, n);
        keep_rate(c, n);
    }
    *out_short = s->length > 0;
    return RS_OK;
}

enum check_state check_hash(struct check *c, const char *path, const struct rs_digest *digest,
                            struct rs_digest *out_found, struct rs_err *err)
{
    RS_AUTO(rs_source_release) struct rs_source source = {.fd = -1};
    struct rs_hash hash;
    uint8_t raw[RS_HASH_MAX];
    bool is_short = false;
    rs_rc rc = rs_storage_open(c->storage, path, &source, NULL, err);
    if (rc != RS_OK)
        return rc == RS_E_NOT_FOUND ? CHECK_GONE : CHECK_UNKNOWN;
    rs_hash_init(&hash, digest->alg);
    rc = hash_source(c, &source, &hash, &is_short, err);
    if (rc == RS_OK && is_short && !check_goes_on(c))
        rc = rs_err_set(err, RS_E_UNAVAILABLE, "the check was ended");
    if (rc != RS_OK)
        return CHECK_UNKNOWN;
    rs_hash_final(&hash, raw);
    rs_digest_from_raw(digest->alg, raw, out_found);
    return rs_digest_eq(out_found, digest) ? CHECK_WHOLE : CHECK_CORRUPT;
}

bool check_is_whole(struct check *c, const struct rs_digest *digest)
{
    struct rs_path path;
    struct rs_digest found;
    struct rs_err err;
    return check_hash(c, rs_path_blob(&path, digest), digest, &found, &err) == CHECK_WHOLE;
}
