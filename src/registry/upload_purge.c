/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ABANDONED. An upload is abandoned when it began longer ago than the age and nothing was written to it since then;
 * registry:2 asks for its begin alone. What is left of an upload without `startedat` goes by the time of its directory.
 * It is removed with its lock held, so that no writer is in the middle of it; one that comes after finds nothing (see
 * ENDS ONCE in upload.c). Times in the future, of a clock that was wrong, are young.
 *
 * The walk is over directories, not over the catalog: a repository may have uploads and nothing else.
 */
#include "base/clock.h"
#include "layout/paths.h"
#include "layout/walk.h"
#include "oci/reference.h"
#include "registry/registry_priv.h"
#include "registry/upload.h"

struct walk {
    struct rs_registry *registry;
    const struct rs_upload_purge *purge;
    struct rs_upload_purged *found;
    struct rs_err *err;
    rs_rc rc;
    int64_t before_s;  /* what is older is abandoned */
    rs_str repository; /* where we are */
};

static bool goes_on(const struct walk *w)
{
    return w->rc == RS_OK && w->purge->goes_on(w->purge->ctx);
}

/* When it began, from its file or its directory; false if it is gone. */
static bool begin_of(const struct walk *w, rs_str uuid, int64_t *out_s)
{
    struct rs_path path;
    struct rs_storage_stat st;
    RS_AUTO(rs_buf_release) struct rs_buf text;
    rs_buf_init(&text, 64);
    rs_path_upload_startedat(&path, w->repository, uuid);
    if (rs_storage_read(w->registry->storage, path.z, &text, NULL) == RS_OK &&
        rs_rfc3339_parse(rs_str_trim(rs_buf_str(&text)), out_s))
        return true;
    if (rs_storage_stat(w->registry->storage, rs_path_upload(&path, w->repository, uuid), &st, NULL) != RS_OK)
        return false;
    *out_s = st.mtime_s;
    return true;
}

/* Of the data, and of the directory, in which hash states come and go. */
static bool was_written_since(const struct walk *w, rs_str uuid)
{
    struct rs_path path;
    struct rs_storage_stat st;
    struct rs_storage *storage = w->registry->storage;
    rs_path_upload_data(&path, w->repository, uuid);
    return rs_storage_stat(storage, path.z, &st, NULL) == RS_OK && st.mtime_s >= w->before_s;
}

static bool is_abandoned(const struct walk *w, rs_str uuid, int64_t *out_began_s)
{
    return begin_of(w, uuid, out_began_s) && *out_began_s < w->before_s && !was_written_since(w, uuid);
}

/* With the lock, if there is something to lock. RS_E_BUSY: somebody writes it, or has a moment ago. */
static rs_rc remove_upload(struct walk *w, rs_str uuid, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_file *data = NULL;
    uint64_t size;
    rs_path_upload_data(&path, w->repository, uuid);
    rs_rc rc = rs_storage_append_open(w->registry->storage, path.z, &data, &size, err);
    if (rc == RS_OK && was_written_since(w, uuid))
        rc = RS_E_BUSY;
    if (rc == RS_OK || rc == RS_E_NOT_FOUND)
        rc = rs_storage_remove(w->registry->storage, rs_path_upload(&path, w->repository, uuid), NULL, err);
    rs_storage_append_close(&data);
    return rc;
}

/* One that cannot be removed does not keep the others. */
static void look_at(struct walk *w, rs_str uuid)
{
    int64_t began_s;
    struct rs_err err = {0};
    w->found->uploads++;
    if (!is_abandoned(w, uuid, &began_s))
        return;
    rs_rc rc = w->purge->dry_run ? RS_OK : remove_upload(w, uuid, &err);
    if (rc == RS_E_BUSY)
        return;
    if (rc == RS_OK)
        w->found->removed++;
    else if (w->found->failed++ == 0 && w->err != NULL)
        *w->err = err;
    if (rc == RS_OK && w->purge->tell != NULL)
        w->purge->tell(w->purge->ctx, w->repository, uuid, began_s);
}

static bool visit_upload(void *ctx, rs_str uuid, bool is_directory)
{
    struct walk *w = ctx;
    if (is_directory && rs_uuid_valid(uuid))
        look_at(w, uuid);
    return goes_on(w);
}

static bool visit_repository(void *ctx, rs_str name, unsigned parts)
{
    struct walk *w = ctx;
    struct rs_path path;
    if ((parts & RS_PART_UPLOADS) != 0) {
        w->found->repositories++;
        w->repository = name;
        rs_rc rc = rs_storage_scan(w->registry->storage, rs_path_uploads(&path, name), visit_upload, w, w->err);
        w->rc = rc == RS_E_NOT_FOUND ? RS_OK : rc;
    }
    return goes_on(w);
}

rs_rc rs_upload_purge(struct rs_registry *registry, const struct rs_upload_purge *purge, struct rs_upload_purged *out,
                      struct rs_err *err)
{
    struct walk w = {.registry = registry, .purge = purge, .found = out, .err = err};
    *out = (struct rs_upload_purged){0};
    w.before_s = rs_wall_s() - purge->age_s;
    rs_rc rc = rs_repositories_walk(registry->storage, visit_repository, &w, err);
    return w.rc != RS_OK ? w.rc : rc;
}
