/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/promise.h"

#include "layout/link.h"
#include "registry/presence.h"
#include "registry/tombstone.h"

rs_rc rs_promise_renew(struct rs_registry *registry, const char *link, int64_t mtime_s, struct rs_err *err)
{
    if (!rs_presence_is_old(registry->presence, mtime_s))
        return RS_OK;
    return rs_storage_touch(registry->storage, link, err);
}

rs_rc rs_promise_link(struct rs_registry *registry, const char *link, const struct rs_digest *target,
                      struct rs_storage_batch *batch, bool *out_made, struct rs_err *err)
{
    for (;;) {
        bool made;
        struct rs_storage_stat st;
        RS_TRY(rs_link_ensure(registry->storage, link, target, batch, &made, err));
        if (out_made != NULL)
            *out_made = made;
        if (made)
            return RS_OK;
        rs_rc rc = rs_storage_stat(registry->storage, link, &st, err);
        if (rc == RS_OK)
            rc = rs_promise_renew(registry, link, st.mtime_s, err);
        if (rc != RS_E_NOT_FOUND) /* removed in between */
            return rc;
    }
}

/* See promise.h: after the tombstones. */
static rs_rc is_gone(struct rs_registry *registry, const char *link, bool *out_gone, struct rs_err *err)
{
    struct rs_storage_stat st;
    rs_rc rc = rs_storage_stat(registry->storage, link, &st, err);
    *out_gone = rc == RS_E_NOT_FOUND;
    return *out_gone ? RS_OK : rc;
}

rs_rc rs_promise_look(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                      const struct rs_digest *target, const char *link, bool *out_taken, struct rs_err *err)
{
    RS_TRY(rs_tombstones_look(registry->tombstones, repository, digest, out_taken, err));
    if (!*out_taken && !rs_digest_eq(digest, target))
        RS_TRY(rs_tombstones_look(registry->tombstones, repository, target, out_taken, err));
    return *out_taken || link == NULL ? RS_OK : is_gone(registry, link, out_taken, err);
}

rs_rc rs_promise_wait(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                      const struct rs_digest *target, const char *link, bool *out_again, struct rs_err *err)
{
    RS_TRY(rs_tombstones_wait(registry->tombstones, repository, digest, out_again, err));
    if (!rs_digest_eq(digest, target))
        RS_TRY(rs_tombstones_wait(registry->tombstones, repository, target, out_again, err));
    return *out_again ? RS_OK : is_gone(registry, link, out_again, err);
}
