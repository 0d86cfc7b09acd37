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

rs_rc rs_promise_look(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                      const struct rs_digest *target, bool *out_tombstoned, struct rs_err *err)
{
    RS_TRY(rs_tombstones_look(registry->tombstones, repository, digest, out_tombstoned, err));
    if (*out_tombstoned || rs_digest_eq(digest, target))
        return RS_OK;
    return rs_tombstones_look(registry->tombstones, repository, target, out_tombstoned, err);
}

rs_rc rs_promise_wait(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                      const struct rs_digest *target, bool *out_waited, struct rs_err *err)
{
    RS_TRY(rs_tombstones_wait(registry->tombstones, repository, digest, out_waited, err));
    if (rs_digest_eq(digest, target))
        return RS_OK;
    return rs_tombstones_wait(registry->tombstones, repository, target, out_waited, err);
}
