/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a manifest as the collection must: all of it is understood, or nothing is removed. */
#include "layout/link.h"
#include "oci/manifest.h"
#include "upkeep/collect_priv.h"

#define ADVICE "; nothing was removed. Mend it (roadstead check --repair), or delete this manifest"

static rs_rc not_understood(struct rs_collect *c, rs_rc rc, rs_str repository, const struct rs_digest *digest,
                            const char *path)
{
    struct rs_err why = *c->err;
    return rs_err_set(c->err, rc, "repository " RS_STR_FMT ", manifest %s (%s): %s" ADVICE, RS_STR_ARG(repository),
                      digest->text, path, why.text);
}

static rs_rc read_bytes(struct rs_collect *c, const struct rs_digest *target, struct rs_path *path)
{
    struct rs_digest found;
    rs_buf_clear(&c->bytes);
    rs_rc rc = rs_storage_read(c->storage, rs_path_blob(path, target), &c->bytes, c->err);
    if (rc == RS_E_TOO_BIG)
        return rs_err_set(c->err, RS_E_CORRUPT, "it is larger than a manifest may be");
    RS_TRY(rc);
    rs_digest_of(target->alg, c->bytes.ptr, c->bytes.len, &found);
    if (!rs_digest_eq(&found, target))
        return rs_err_set(c->err, RS_E_CORRUPT, "its bytes have the digest %s", found.text);
    return RS_OK;
}

/* A missing manifest is an error only as long as its link is there: a delete may have come between. */
rs_rc collect_read_manifest(struct rs_collect *c, rs_str repository, const struct rs_digest *digest,
                            struct rs_digest *out_target, bool *out_there)
{
    struct rs_path link, path;
    struct rs_storage_stat st;
    rs_path_revision_link(&link, repository, digest);
    rs_rc rc = rs_link_follow(c->storage, link.z, digest, out_target, c->err);
    *out_there = rc == RS_OK;
    if (rc == RS_E_NOT_FOUND)
        return RS_OK;
    if (rc != RS_OK)
        return not_understood(c, rc, repository, digest, link.z);
    rc = read_bytes(c, out_target, &path);
    if (rc == RS_OK)
        return RS_OK;
    if (rc == RS_E_NOT_FOUND && rs_storage_stat(c->storage, link.z, &st, NULL) == RS_E_NOT_FOUND) {
        *out_there = false;
        return RS_OK;
    }
    if (rc == RS_E_NOT_FOUND)
        rc = rs_err_set(c->err, RS_E_CORRUPT, "its bytes are missing");
    return not_understood(c, rc, repository, digest, path.z);
}

rs_rc collect_needs(struct rs_collect *c, rs_str repository, const struct rs_digest *digest,
                    rs_manifest_need_visit *visit, void *ctx)
{
    struct rs_path path;
    rs_arena_reset(c->arena);
    rs_rc rc = rs_manifest_needs(rs_buf_str(&c->bytes), c->arena, visit, ctx, c->err);
    return rc == RS_OK ? RS_OK : not_understood(c, rc, repository, digest, rs_path_blob(&path, digest));
}

/* Only registry:2 makes them, and only of another algorithm than its own, which is SHA-256. */
rs_rc collect_follow_alias(struct rs_collect *c, rs_str repository, const struct rs_digest *digest,
                           struct rs_digest *out_target)
{
    struct rs_path path;
    *out_target = *digest;
    if (digest->alg == RS_SHA256)
        return RS_OK;
    rs_path_layer_link(&path, repository, digest);
    rs_rc rc = rs_link_follow(c->storage, path.z, digest, out_target, c->err);
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}
