/* SPDX-License-Identifier: Apache-2.0 */
#include "layout/link.h"

#include "base/clock.h"

#define LINK_MAX 512   /* bytes that we are willing to read */
#define WAIT_MS 1000   /* for a link that is being written in place */
#define YOUNG_S 3      /* an older link is not being written any more */
#define SHA256_TEXT 71 /* "sha256:" and 64 digits */
#define SHA512_TEXT 135

/* Without white space at its end, line feeds included: people edit these files. */
static rs_str trim_end(rs_str s)
{
    while (s.len > 0 && strchr(" \t\r\n", s.ptr[s.len - 1]) != NULL && s.ptr[s.len - 1] != '\0')
        s.len--;
    return s;
}

static bool is_cut(rs_str text)
{
    return text.len < SHA256_TEXT || (rs_str_starts(text, RS_STR("sha512:")) && text.len < SHA512_TEXT);
}

/* RS_E_BUSY if it is empty or cut. */
static rs_rc parse(rs_str bytes, const char *path, struct rs_digest *out, struct rs_err *err)
{
    rs_str text = trim_end(bytes);
    if (is_cut(text))
        return rs_err_set(err, RS_E_BUSY, "%s holds only %zu bytes of a digest", path, text.len);
    if (rs_digest_parse(text, out, NULL) != RS_OK)
        return rs_err_set(err, RS_E_CORRUPT, "%s does not hold a digest", path);
    return RS_OK;
}

/* Reads it once; RS_E_BUSY as above. */
static rs_rc read_once(struct rs_storage *storage, const char *path, struct rs_digest *out, struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf content;
    rs_buf_init(&content, LINK_MAX);
    rs_rc rc = rs_storage_read(storage, path, &content, err);
    if (rc == RS_E_TOO_BIG)
        return rs_err_set(err, RS_E_CORRUPT, "%s is too long for a link", path);
    RS_TRY(rc);
    return parse(rs_buf_str(&content), path, out, err);
}

static bool is_young(struct rs_storage *storage, const char *path)
{
    struct rs_storage_stat st;
    if (rs_storage_stat(storage, path, &st, NULL) != RS_OK)
        return true; /* replaced or removed meanwhile: the next read tells */
    int64_t age = rs_wall_s() - st.mtime_s;
    return age < YOUNG_S && age > -YOUNG_S;
}

rs_rc rs_link_read(struct rs_storage *storage, const char *path, struct rs_digest *out, struct rs_err *err)
{
    int64_t end = 0;
    for (long pause = 1;; pause = RS_MIN(pause * 2, 50)) {
        rs_rc rc = read_once(storage, path, out, err);
        if (rc != RS_E_BUSY)
            return rc;
        int64_t now = rs_mono_ms();
        if (end == 0)
            end = now + WAIT_MS;
        if (now >= end || !is_young(storage, path)) {
            if (err != NULL)
                err->rc = RS_E_CORRUPT; /* the text says how long it is */
            return RS_E_CORRUPT;
        }
        rs_sleep_ms(pause);
    }
}

/* A digest of the same algorithm that is not the path's own would put bytes under a digest that is not theirs. */
rs_rc rs_link_look(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                   struct rs_digest *out_target, struct rs_storage_stat *out_stat, struct rs_err *err)
{
    struct rs_digest held;
    RS_TRY(rs_storage_stat(storage, path, out_stat, err));
    if (!out_stat->is_directory && out_stat->size == rs_digest_str(digest).len) {
        *out_target = *digest;
        return RS_OK;
    }
    RS_TRY(rs_link_read(storage, path, &held, err));
    if (held.alg == digest->alg && !rs_digest_eq(&held, digest))
        return rs_err_set(err, RS_E_CORRUPT, "%s holds another digest, %s", path, held.text);
    *out_target = held;
    return RS_OK;
}

rs_rc rs_link_follow(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                     struct rs_digest *out_target, struct rs_err *err)
{
    struct rs_storage_stat st;
    return rs_link_look(storage, path, digest, out_target, &st, err);
}

rs_rc rs_link_write(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                    struct rs_storage_batch *batch, struct rs_err *err)
{
    return rs_storage_put(storage, path, rs_digest_str(digest), batch, err);
}

struct swap {
    const char *path;
    const struct rs_link_guard *guard;
    rs_rc broken; /* what was there when it was refused is no digest: why not */
    struct rs_err *err;
};

static bool accept_held(void *ctx, const rs_str *held)
{
    struct swap *swap = ctx;
    struct rs_digest digest;
    if (held == NULL)
        return swap->guard->accept(swap->guard->ctx, NULL);
    swap->broken = parse(*held, swap->path, &digest, swap->err);
    return swap->broken == RS_OK && swap->guard->accept(swap->guard->ctx, &digest);
}

rs_rc rs_link_swap(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                   const struct rs_link_guard *guard, struct rs_storage_batch *batch, struct rs_err *err)
{
    struct rs_digest whole;
    if (guard == NULL)
        return rs_storage_replace(storage, path, rs_digest_str(digest), NULL, NULL, batch, err);
    for (;;) {
        struct swap swap = {.path = path, .guard = guard, .err = err};
        rs_rc rc = rs_storage_replace(storage, path, rs_digest_str(digest), accept_held, &swap, batch, err);
        if (rc != RS_E_PRECONDITION || swap.broken == RS_OK)
            return rc;
        if (swap.broken != RS_E_BUSY)
            return rs_err_set(err, swap.broken, "%s does not hold a digest", path);
        rc = rs_link_read(storage, path, &whole, err); /* a registry:2 writes it in place: wait until it has */
        if (rc != RS_OK && rc != RS_E_NOT_FOUND)
            return rc;
    }
}

static bool accept_digest(void *ctx, const rs_str *held)
{
    const struct rs_digest *digest = ctx;
    return held == NULL || rs_str_eq(trim_end(*held), rs_digest_str(digest));
}

rs_rc rs_link_remove(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                     struct rs_storage_batch *batch, struct rs_err *err)
{
    struct rs_digest wanted;
    if (digest == NULL)
        return rs_storage_remove_if(storage, path, NULL, NULL, batch, err);
    wanted = *digest;
    return rs_storage_remove_if(storage, path, accept_digest, &wanted, batch, err);
}

rs_rc rs_link_ensure(struct rs_storage *storage, const char *path, const struct rs_digest *digest,
                     struct rs_storage_batch *batch, bool *out_made, struct rs_err *err)
{
    struct rs_digest held;
    bool is_there = read_once(storage, path, &held, NULL) == RS_OK && rs_digest_eq(&held, digest);
    if (is_there && rs_storage_keep(storage, path, batch, NULL) == RS_OK) {
        if (out_made != NULL)
            *out_made = false;
        return RS_OK;
    }
    RS_TRY(rs_link_write(storage, path, digest, batch, err));
    if (out_made != NULL)
        *out_made = true;
    return RS_OK;
}
