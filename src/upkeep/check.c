/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BESIDE WRITERS. A check runs while servers of this storage are pushed to, and another collects. It holds no lock, so
 * that whatever it has seen may have changed:
 * 1. What looks unfinished and is younger than the grace is left alone: links without data, leftovers of writes,
 *    directories without content. Without a server in sight it is YOUNG_S.
 * 2. What is missing is looked at again before it is told: the manifest that needs a blob may have been removed since.
 * 3. A repair never overwrites what it has not just found broken, and never removes for good what holds anything: it
 *    renames into quarantine, or removes links that lead nowhere and directories that are empty.
 * 4. LOOK AGAIN. Writers put data first and then their link. A repair that takes a link away because its data is
 *    missing therefore looks at the data once more behind that; if it has come meanwhile the link is written again. A
 *    push that found the link and left it had put its data before, so that this look sees it; one that did not find it
 *    writes it itself. For an instant the link is missing though the push may have been acknowledged: a pull in that
 *    instant is told that there is no such image, never a wrong one.
 *
 * Blobs come first, each is read once; then the repositories, whose links are only looked at. What is needed of a
 * repository is held in memory if it is broken, else not at all.
 */
#include "upkeep/check.h"

#include "base/clock.h"
#include "registry/remove.h"
#include "registry/upload.h"
#include "upkeep/check_priv.h"

#define YOUNG_S 60

static const struct {
    const char *word;
    bool is_error;
} kinds[] = {
#define ERROR true
#define WARNING false
#define RS_FINDING(name, word, severity) {word, severity},
#include "tbl/findings.def"
#undef RS_FINDING
#undef ERROR
#undef WARNING
};

const char *rs_finding_word(enum rs_finding_kind kind)
{
    return kinds[kind].word;
}

bool rs_finding_is_error(enum rs_finding_kind kind)
{
    return kinds[kind].is_error;
}

const char *rs_finding_outcome_word(enum rs_finding_outcome outcome)
{
    static const char *const words[] = {
        [RS_FINDING_STAYS] = "stays",
        [RS_FINDING_WOULD] = "repairable",
        [RS_FINDING_MENDED] = "mended",
        [RS_FINDING_FAILED] = "failed",
    };
    return words[outcome];
}

/* --- telling --- */

bool check_goes_on(struct check *c)
{
    if (c->config->progress != NULL)
        c->config->progress(c->config->ctx, c->counts);
    if (c->rc == RS_OK && !c->config->goes_on(c->config->ctx))
        c->counts->complete = false;
    return c->rc == RS_OK && c->counts->complete;
}

void check_tell(struct check *c, struct rs_finding *f)
{
    c->counts->findings[f->kind]++;
    if (f->outcome == RS_FINDING_MENDED)
        c->counts->mended++;
    else if (rs_finding_is_error(f->kind))
        c->counts->errors++;
    else
        c->counts->warnings++;
    c->config->found(c->config->ctx, f);
}

void check_tell_repair(struct check *c, struct rs_finding *f, const char *would, const char *done, rs_rc rc,
                       const struct rs_err *err)
{
    if (!c->config->repair) {
        f->outcome = RS_FINDING_WOULD;
        f->action = rs_str_c(would);
    } else {
        f->outcome = rc == RS_OK ? RS_FINDING_MENDED : RS_FINDING_FAILED;
        f->action = rs_str_c(rc == RS_OK ? done : err->text);
    }
    check_tell(c, f);
}

void check_failed(struct check *c, rs_str repository, const char *path, rs_rc rc, const struct rs_err *err)
{
    struct rs_finding f = {
        .kind = RS_FINDING_UNREADABLE, .repository = repository, .path = rs_str_c(path), .what = rs_str_c(err->text)};
    if (rc == RS_E_NOT_FOUND)
        return;
    if (rc == RS_E_UNAVAILABLE && c->rc == RS_OK) { /* not this one is broken, the storage is gone */
        c->rc = rc;
        c->err = *err;
    }
    check_tell(c, &f);
}

bool check_scan(struct check *c, rs_str repository, const char *path, rs_storage_visit *visit, void *ctx)
{
    struct rs_err err;
    rs_rc rc = rs_storage_scan_all(c->storage, path, visit, ctx, &err);
    if (rc != RS_OK)
        check_failed(c, repository, path, rc, &err);
    return rc == RS_OK || rc == RS_E_NOT_FOUND;
}

/* A clock that was wrong may have left times in the future: they are young. */
bool check_is_old(const struct check *c, int64_t mtime_s)
{
    return mtime_s < c->old_s;
}

rs_rc check_sync(struct check *c, struct rs_storage_batch *batch, rs_rc rc, struct rs_err *err)
{
    return rc == RS_OK ? rs_storage_sync(c->storage, batch, err) : rc;
}

/* --- servers --- */

struct servers {
    struct rs_storage *storage;
    bool lives;
};

/* A server locks its file for as long as it lives. */
static bool visit_server(void *ctx, rs_str name, bool is_directory)
{
    struct servers *s = ctx;
    struct rs_path path;
    struct rs_storage_file *file = NULL;
    uint64_t size;
    if (is_directory || !rs_uuid_valid(name))
        return true;
    rs_rc rc = rs_storage_append_open(s->storage, rs_path_server(&path, name), &file, &size, NULL);
    rs_storage_append_close(&file);
    s->lives = rc == RS_E_BUSY;
    return !s->lives;
}

bool rs_check_has_server(struct rs_storage *storage)
{
    struct rs_path path;
    struct servers servers = {.storage = storage};
    rs_storage_scan(storage, rs_path_servers(&path), visit_server, &servers, NULL);
    return servers.lives;
}

/* --- what concerns no blob and no repository alone --- */

static void tell_upload(void *ctx, rs_str repository, rs_str uuid, int64_t began_s)
{
    struct check *c = ctx;
    struct rs_path path;
    char began[RS_RFC3339_SIZE], what[CHECK_TEXT_MAX];
    rs_rfc3339(began_s, began);
    snprintf(what, sizeof what, "an upload that began at %s was never finished", began);
    struct rs_finding f = {.kind = RS_FINDING_STALE_UPLOAD,
                           .repository = repository,
                           .subject = uuid,
                           .path = rs_str_c(rs_path_upload(&path, repository, uuid)),
                           .what = rs_str_c(what)};
    check_tell_repair(c, &f, "would remove it", "removed it", RS_OK, NULL);
}

/* Whoever writes tombstones holds the collector's lock. */
static bool is_collecting(struct check *c)
{
    struct rs_path path;
    struct rs_storage_file *file = NULL;
    uint64_t size;
    rs_path_collector(&path, RS_STR("lock"));
    rs_rc rc = rs_storage_append_open(c->storage, path.z, &file, &size, NULL);
    rs_storage_append_close(&file);
    return rc == RS_E_BUSY;
}

static rs_rc lift_tombstones(struct check *c, struct rs_err *err)
{
    struct rs_remover *remover = NULL;
    int64_t ignored;
    rs_rc rc = rs_remover_open(c->config->registry, c->config->grace_s, true, &remover, &ignored, err);
    rs_remover_close(&remover);
    return rc;
}

/* What is on the list of a collector that was killed counts as missing, and pushes of it wait. */
static void check_collector(struct check *c)
{
    struct rs_path path;
    struct rs_storage_stat st;
    struct rs_err err = {0};
    rs_path_tombstones(&path);
    if (rs_storage_stat(c->storage, path.z, &st, NULL) != RS_OK || is_collecting(c) ||
        rs_storage_stat(c->storage, path.z, &st, NULL) != RS_OK)
        return;
    struct rs_finding f = {.kind = RS_FINDING_STALE_COLLECTOR,
                           .path = rs_str_c(path.z),
                           .what =
                               RS_STR("a collection was killed and has left its list of what it was about to take")};
    rs_rc rc = c->config->repair ? lift_tombstones(c, &err) : RS_OK;
    check_tell_repair(c, &f, "would remove it", "removed it", rc, &err);
}

static bool purge_goes_on(void *ctx)
{
    return check_goes_on(ctx);
}

static void check_uploads(struct check *c)
{
    struct rs_err err = {0};
    struct rs_upload_purged found = {0};
    const struct rs_upload_purge purge = {.age_s = c->config->upload_age_s,
                                          .dry_run = !c->config->repair,
                                          .goes_on = purge_goes_on,
                                          .tell = tell_upload,
                                          .ctx = c};
    rs_rc rc = rs_upload_purge(c->config->registry, &purge, &found, &err);
    c->counts->uploads = found.uploads;
    if (rc != RS_OK || found.failed > 0)
        check_failed(c, (rs_str){0}, "uploads", rc != RS_OK ? rc : RS_E_IO, &err);
}

static void finish(struct check *c)
{
    struct rs_check_counts *n = c->counts;
    n->unlinked_known = n->complete && check_seen_unlinked(c->seen, &n->unlinked_blobs, &n->unlinked_bytes);
    check_seen_free(&c->seen);
    rs_free_ptr(&c->piece);
}

rs_rc rs_check_run(const struct rs_check_config *config, struct rs_check_counts *out, struct rs_err *err)
{
    *out = (struct rs_check_counts){.complete = true};
    struct check c = {.config = config,
                      .storage = config->storage,
                      .counts = out,
                      .seen = check_seen_new(config->state_dir),
                      .old_s = rs_wall_s() - RS_MAX(config->grace_s, YOUNG_S),
                      .began_ms = rs_mono_ms(),
                      .piece = rs_malloc(CHECK_PIECE)};
    check_collector(&c);
    check_blobs(&c);
    if (check_goes_on(&c))
        check_repositories(&c);
    if (check_goes_on(&c))
        check_uploads(&c);
    out->complete = out->complete && c.rc == RS_OK;
    finish(&c);
    if (c.rc != RS_OK && err != NULL)
        *err = c.err;
    return c.rc;
}
