/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE SECOND LOOK AT THE LINK. A remover that looked at the link before it was made or renewed, and removed it after,
 * has lifted its tombstone again when we look for it. So a link that was made or renewed is looked at once more behind
 * the look for the tombstone. One that was young already need not be: no remover takes it for old.
 */
#include "registry/promise.h"

#include "layout/link.h"
#include "registry/presence.h"
#include "registry/tombstone.h"

rs_rc rs_promise_look(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                      const struct rs_digest *target, bool *out_tombstoned, struct rs_err *err)
{
    RS_TRY(rs_tombstones_look(registry->tombstones, repository, digest, out_tombstoned, err));
    if (*out_tombstoned || rs_digest_eq(digest, target))
        return RS_OK;
    return rs_tombstones_look(registry->tombstones, repository, target, out_tombstoned, err);
}

/* *out_waited: everything has to be looked at again. */
static rs_rc pass_tombstones(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                             const struct rs_digest *target, enum rs_tombstoned policy, bool *out_waited,
                             struct rs_err *err)
{
    bool tombstoned;
    *out_waited = false;
    RS_TRY(rs_promise_look(registry, repository, digest, target, &tombstoned, err));
    if (tombstoned && policy == RS_TOMBSTONED_IS_GONE)
        return rs_err_set(err, RS_E_NOT_FOUND, "%s is being collected", digest->text);
    if (!tombstoned)
        return RS_OK;
    RS_TRY(rs_tombstones_wait(registry->tombstones, repository, digest, out_waited, err));
    *out_waited = true;
    return rs_tombstones_wait(registry->tombstones, repository, target, out_waited, err);
}

static rs_rc is_still_there(struct rs_registry *registry, const char *link, struct rs_err *err)
{
    struct rs_storage_stat st;
    return rs_storage_stat(registry->storage, link, &st, err);
}

/* Where nothing can be written nothing is removed either: who only asks need not be refused. */
static rs_rc renew(struct rs_registry *registry, const char *link, enum rs_tombstoned policy, struct rs_err *err)
{
    rs_rc rc = rs_storage_touch(registry->storage, link, err);
    return rc == RS_E_NOT_FOUND || policy == RS_TOMBSTONED_WAIT ? rc : RS_OK;
}

rs_rc rs_promise_found(struct rs_registry *registry, rs_str repository, const char *link,
                       const struct rs_digest *digest, enum rs_tombstoned policy, struct rs_digest *out_target,
                       int64_t *out_mtime_s, struct rs_err *err)
{
    for (;;) {
        bool waited;
        struct rs_storage_stat st;
        RS_TRY(rs_link_look(registry->storage, link, digest, out_target, &st, err));
        bool is_old = rs_presence_is_old(registry->presence, st.mtime_s);
        if (is_old)
            RS_TRY(renew(registry, link, policy, err));
        if (out_mtime_s != NULL)
            *out_mtime_s = st.mtime_s;
        RS_TRY(pass_tombstones(registry, repository, digest, out_target, policy, &waited, err));
        if (!waited)
            return is_old ? is_still_there(registry, link, err) : RS_OK;
    }
}

/* The link is there, and young. RS_E_NOT_FOUND: it was removed in between. */
static rs_rc ensure(struct rs_registry *registry, const char *link, const struct rs_digest *target,
                    struct rs_storage_batch *batch, bool *made, struct rs_err *err)
{
    bool made_now;
    struct rs_storage_stat st;
    RS_TRY(rs_link_ensure(registry->storage, link, target, batch, &made_now, err));
    *made |= made_now;
    if (made_now)
        return RS_OK;
    RS_TRY(rs_storage_stat(registry->storage, link, &st, err));
    return rs_presence_is_old(registry->presence, st.mtime_s) ? rs_storage_touch(registry->storage, link, err) : RS_OK;
}

rs_rc rs_promise_made(struct rs_registry *registry, rs_str repository, const char *link, const struct rs_digest *digest,
                      const struct rs_digest *target, enum rs_tombstoned policy, struct rs_storage_batch *batch,
                      bool *out_made, struct rs_err *err)
{
    bool waited = false, made = false;
    rs_rc rc;
    do {
        rc = ensure(registry, link, target, batch, &made, err);
        if (rc == RS_OK)
            RS_TRY(pass_tombstones(registry, repository, digest, target, policy, &waited, err));
        if (rc == RS_OK && !waited)
            rc = is_still_there(registry, link, err);
    } while (rc == RS_E_NOT_FOUND || (rc == RS_OK && waited));
    if (out_made != NULL)
        *out_made = made;
    return rc;
}
