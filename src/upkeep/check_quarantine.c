/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quarantine: what is broken is moved to roadstead/v1/quarantine, never deleted. A note beside it, of the same name
 * with ".txt", says what it is and where it lay; it is written first, so that a crash leaves nothing there that nobody
 * can explain.
 */
#include "base/clock.h"
#include "upkeep/check_priv.h"

#define NOTE_MAX 4096

/* Several checks may set the same thing aside in one second. */
void check_quarantine_path(const char *group, rs_str name, struct rs_path *out)
{
    char rest[CHECK_TEXT_MAX];
    uint32_t random;
    rs_random(&random, sizeof random);
    int n = snprintf(rest, sizeof rest, "%s/" RS_STR_FMT ".%lld-%08x", group, RS_STR_ARG(name), (long long)rs_wall_s(),
                     random);
    RS_ASSERT(n > 0 && (size_t)n < RS_PATH_MAX - 64);
    rs_path_quarantine(out, rs_str_c(rest));
}

static rs_rc write_note(struct check *c, const char *path, const struct rs_path *to, const char *why,
                        struct rs_storage_batch *batch, struct rs_err *err)
{
    char note_path[RS_PATH_MAX + 8], now[RS_RFC3339_SIZE];
    RS_AUTO(rs_buf_release) struct rs_buf note;
    rs_buf_init(&note, NOTE_MAX);
    rs_rfc3339(rs_wall_s(), now);
    snprintf(note_path, sizeof note_path, "%s.txt", to->z);
    rs_buf_printf(&note, "was:  %s\nwhen: %s\nwhy:  %s\n", path, now, why);
    return rs_storage_put(c->storage, note_path, rs_buf_str(&note), batch, err);
}

static void remove_note(struct check *c, const struct rs_path *to)
{
    char note_path[RS_PATH_MAX + 8];
    snprintf(note_path, sizeof note_path, "%s.txt", to->z);
    rs_storage_remove(c->storage, note_path, NULL, NULL);
}

rs_rc check_quarantine(struct check *c, const char *path, const struct rs_path *to, const char *why, struct rs_err *err)
{
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    RS_TRY(write_note(c, path, to, why, &batch, err));
    rs_rc rc = rs_storage_move(c->storage, path, to->z, &batch, err);
    if (rc != RS_OK)
        remove_note(c, to);
    if (rc == RS_E_EXISTS) /* means something else to those who call */
        return rs_err_set(err, RS_E_IO, "cannot move %s to the quarantine: %s is there already", path, to->z);
    return check_sync(c, &batch, rc, err);
}

rs_rc check_put_back(struct check *c, const struct rs_path *from, const char *path, struct rs_err *err)
{
    RS_AUTO(rs_storage_batch_release) struct rs_storage_batch batch;
    rs_storage_batch_init(&batch);
    rs_rc rc = rs_storage_move(c->storage, from->z, path, &batch, err);
    if (rc == RS_OK)
        remove_note(c, from);
    return check_sync(c, &batch, rc, err);
}
