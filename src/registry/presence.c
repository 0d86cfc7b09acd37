/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WHO IS THERE. A server makes a file under roadstead/v1/servers, locks it for as long as it lives, and writes its
 * grace into it; a remover locks roadstead/v1/collector/lock and writes its own grace beside it. The locks are those of
 * objects that grow (storage.h): who dies holds none.
 *
 * A remover that sees no server may take what nothing needs at once (grace 0). Both sides write before they look: the
 * remover its grace, then it counts servers; the server its file, then it looks for a remover. So if both start
 * together, at least one sees the other: the remover takes the server's grace, or the server is *careful* until that
 * remover has gone: it renews every link that it relies on, however young.
 *
 * Who looks whether a lock is held takes it for an instant; so whoever finds a lock taken tries again for a while, and
 * a server whose file is taken away in that instant makes another one.
 */
#include "registry/presence.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "layout/paths.h"

#define LOOK_MS 1000
#define TELL_MS                                                                                                        \
    2000 /* how long a server may take from its lock to its grace, and others may hold a lock in passing               \
          */
#define PAUSE_MS 10
#define ATTEMPTS 16

struct rs_presence {
    struct rs_storage *storage;
    int64_t grace_s;
    _Atomic int64_t looked_ms; /* 0: never */
    atomic_bool careful;
    struct rs_mutex mutex; /* for all below */
    struct rs_storage_file *file;
    char uuid[RS_UUID_SIZE];
};

struct rs_presence *rs_presence_new(struct rs_storage *storage, int64_t grace_s)
{
    struct rs_presence *p = rs_calloc(1, sizeof *p);
    p->storage = storage;
    p->grace_s = grace_s;
    rs_mutex_init(&p->mutex, RS_LOCK_PRESENCE);
    return p;
}

static void leave(struct rs_presence *p)
{
    struct rs_path path;
    if (p->file == NULL)
        return;
    rs_storage_remove(p->storage, rs_path_server(&path, rs_str_c(p->uuid)), NULL, NULL);
    rs_storage_append_close(&p->file);
}

void rs_presence_free(struct rs_presence **presence)
{
    struct rs_presence *p = rs_take(presence);
    if (p == NULL)
        return;
    leave(p);
    rs_mutex_release(&p->mutex);
    free(p);
}

bool rs_presence_is_old(const struct rs_presence *p, int64_t mtime_s)
{
    if (p->grace_s == 0)
        return false;
    return atomic_load(&p->careful) || rs_wall_s() - mtime_s >= p->grace_s / 2;
}

/* --- the server's side --- */

/* RS_E_BUSY, RS_E_NOT_FOUND: somebody looked at the file before it was locked. */
static rs_rc announce_once(struct rs_presence *p, struct rs_err *err)
{
    struct rs_path path;
    uint64_t size;
    char text[32];
    int len = snprintf(text, sizeof text, "%lld\n", (long long)p->grace_s);
    rs_uuid4(p->uuid);
    rs_path_server(&path, rs_str_c(p->uuid));
    RS_TRY(rs_storage_append_create(p->storage, path.z, err));
    rs_rc rc = rs_storage_append_open(p->storage, path.z, &p->file, &size, err);
    if (rc == RS_OK)
        rc = rs_storage_append(p->file, text, (size_t)len, err);
    if (rc == RS_OK)
        return RS_OK;
    rs_storage_remove(p->storage, path.z, NULL, NULL);
    rs_storage_append_close(&p->file);
    return rc;
}

static rs_rc announce(struct rs_presence *p, struct rs_err *err)
{
    rs_rc rc = RS_E_BUSY;
    for (int i = 0; i < ATTEMPTS && (rc == RS_E_BUSY || rc == RS_E_NOT_FOUND); i++)
        rc = announce_once(p, err);
    return rc == RS_OK ? RS_OK : rs_err_wrap(err, "this server cannot make itself known to collectors");
}

/* A number of a small file; false: it is not there, or not whole. */
static bool read_number(struct rs_storage *storage, const char *path, int64_t *out)
{
    uint64_t number;
    RS_AUTO(rs_buf_release) struct rs_buf text;
    rs_buf_init(&text, 64);
    if (rs_storage_read(storage, path, &text, NULL) != RS_OK || text.len == 0 || text.ptr[text.len - 1] != '\n' ||
        !rs_str_u64((rs_str){text.ptr, text.len - 1}, INT64_MAX, &number))
        return false;
    *out = (int64_t)number;
    return true;
}

/* Is a remover at work that takes younger things than we keep young? */
static bool is_stricter_at_work(const struct rs_presence *p)
{
    struct rs_path path;
    int64_t grace_s;
    struct rs_storage_file *lock = NULL;
    if (!read_number(p->storage, rs_path_collector(&path, RS_STR("grace")), &grace_s) || grace_s >= p->grace_s)
        return false;
    bool is_held = rs_presence_lock_remover(p->storage, &lock, NULL) != RS_OK;
    rs_storage_append_close(&lock);
    return is_held;
}

static rs_rc look_locked(struct rs_presence *p, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    rs_path_server(&path, rs_str_c(p->uuid));
    if (p->file != NULL && rs_storage_stat(p->storage, path.z, &st, NULL) == RS_E_NOT_FOUND)
        leave(p); /* the directory was exchanged, or somebody tidied up */
    if (p->file == NULL)
        RS_TRY(announce(p, err));
    atomic_store(&p->careful, is_stricter_at_work(p));
    atomic_store(&p->looked_ms, rs_mono_ms());
    return RS_OK;
}

static bool is_due(const struct rs_presence *p)
{
    int64_t looked_ms = atomic_load(&p->looked_ms);
    return looked_ms == 0 || rs_mono_ms() - looked_ms >= LOOK_MS;
}

rs_rc rs_presence_ensure(struct rs_presence *p, struct rs_err *err)
{
    if (p->grace_s == 0 || !is_due(p))
        return RS_OK;
    rs_mutex_lock(&p->mutex);
    rs_rc rc = is_due(p) ? look_locked(p, err) : RS_OK;
    rs_mutex_unlock(&p->mutex);
    return rc;
}

/* --- the remover's side --- */

rs_rc rs_presence_lock_remover(struct rs_storage *storage, struct rs_storage_file **out, struct rs_err *err)
{
    struct rs_path path;
    uint64_t size;
    rs_path_collector(&path, RS_STR("lock"));
    RS_TRY(rs_storage_append_create(storage, path.z, err));
    return rs_storage_append_open(storage, path.z, out, &size, err);
}

rs_rc rs_presence_tell_grace(struct rs_storage *storage, int64_t grace_s, struct rs_err *err)
{
    struct rs_path path;
    char text[32];
    int len = snprintf(text, sizeof text, "%lld\n", (long long)grace_s);
    return rs_storage_put(storage, rs_path_collector(&path, RS_STR("grace")), (rs_str){text, (size_t)len}, NULL, err);
}

void rs_presence_forget_grace(struct rs_storage *storage)
{
    struct rs_path path;
    rs_storage_remove(storage, rs_path_collector(&path, RS_STR("grace")), NULL, NULL);
}

struct count {
    struct rs_storage *storage;
    size_t servers;
    int64_t grace_s;
    rs_rc rc;
    struct rs_err *err;
};

/* A dead server's file goes. RS_E_BUSY: it lives. */
static rs_rc bury(struct rs_storage *storage, const char *path)
{
    uint64_t size;
    struct rs_storage_file *file = NULL;
    RS_TRY(rs_storage_append_open(storage, path, &file, &size, NULL));
    rs_rc rc = rs_storage_remove(storage, path, NULL, NULL);
    rs_storage_append_close(&file);
    return rc;
}

static rs_rc count_server(struct count *c, const char *path)
{
    int64_t grace_s;
    for (int64_t end_ms = rs_mono_ms() + TELL_MS; bury(c->storage, path) == RS_E_BUSY; rs_sleep_ms(PAUSE_MS)) {
        if (read_number(c->storage, path, &grace_s)) {
            c->servers++;
            c->grace_s = RS_MAX(c->grace_s, grace_s);
            return RS_OK;
        }
        if (rs_mono_ms() >= end_ms)
            return rs_err_set(c->err, RS_E_UNAVAILABLE, "%s is held by a server that does not tell its grace period",
                              path);
    }
    return RS_OK;
}

static bool visit_server(void *ctx, rs_str name, bool is_directory)
{
    struct count *c = ctx;
    struct rs_path path;
    if (!is_directory && rs_uuid_valid(name))
        c->rc = count_server(c, rs_path_server(&path, name));
    return c->rc == RS_OK;
}

rs_rc rs_presence_count(struct rs_storage *storage, size_t *out_servers, int64_t *out_grace_s, struct rs_err *err)
{
    struct rs_path path;
    struct count c = {.storage = storage, .err = err};
    rs_rc rc = rs_storage_scan(storage, rs_path_servers(&path), visit_server, &c, err);
    if (rc != RS_OK && rc != RS_E_NOT_FOUND)
        return rc;
    *out_servers = c.servers;
    *out_grace_s = c.grace_s;
    return c.rc;
}
