/* SPDX-License-Identifier: Apache-2.0 */
/* A storage that fails on demand: see faulty.h. */
#include "storage/faulty.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "storage/count.h"
#include "storage/storage_priv.h"

#define RULES_MAX 32

static const char *const call_names[RS_FAULTY_CALLS + 1] = {
    [RS_FAULTY_STAT] = "stat",
    [RS_FAULTY_READ] = "read",
    [RS_FAULTY_OPEN] = "open",
    [RS_FAULTY_PUT] = "put",
    [RS_FAULTY_KEEP] = "keep",
    [RS_FAULTY_MKDIR] = "mkdir",
    [RS_FAULTY_REMOVE] = "remove",
    [RS_FAULTY_LIST] = "list",
    [RS_FAULTY_SYNC] = "sync",
    [RS_FAULTY_APPEND_CREATE] = "append_create",
    [RS_FAULTY_APPEND_OPEN] = "append_open",
    [RS_FAULTY_APPEND] = "append",
    [RS_FAULTY_APPEND_READ] = "append_read",
    [RS_FAULTY_PUBLISH] = "publish",
    [RS_FAULTY_MOVE] = "move",
    [RS_FAULTY_CALLS] = "any",
};

struct rule {
    enum rs_faulty_call call; /* RS_FAULTY_CALLS: any */
    uint64_t nth;
    uint64_t times;
    uint64_t at_byte; /* UINT64_MAX: not by byte */
    uint64_t delay_ms;
    rs_rc error; /* RS_OK: only delays */
    bool kill;
    uint64_t seen; /* matching calls */
    uint64_t fired;
};

struct faulty {
    struct rs_storage storage;
    struct rs_storage *inner;
    struct rs_mutex mutex; /* for all below */
    size_t rule_count;
    struct rule rules[RULES_MAX];
    uint64_t calls[RS_FAULTY_CALLS];
    uint64_t failures;
};

struct faulty_file {
    struct rs_storage_file file;
    struct rs_storage_file *inner;
    uint64_t size;
};

/* What is to happen to one call. */
struct verdict {
    rs_rc error;      /* RS_OK: passes */
    uint64_t at_byte; /* with an error: the bytes that pass first */
    uint64_t delay_ms;
    bool kill;
};

/* --- deciding --- */

/* [offset, offset + len) is what the call touches, or everything (0, UINT64_MAX) for a call that reads a whole object
 * of unknown length. A rule by byte counts the calls that reach its byte. */
static bool rule_fires(struct rule *rule, enum rs_faulty_call call, uint64_t offset, uint64_t len)
{
    if (rule->call != call && rule->call != RS_FAULTY_CALLS)
        return false;
    if (rule->at_byte != UINT64_MAX && (len == 0 || offset + (len - 1) < rule->at_byte))
        return false;
    if (++rule->seen < rule->nth || rule->fired >= rule->times)
        return false;
    rule->fired++;
    return true;
}

static struct verdict decide(struct faulty *faulty, enum rs_faulty_call call, uint64_t offset, uint64_t len)
{
    struct verdict verdict = {.at_byte = UINT64_MAX};
    rs_mutex_lock(&faulty->mutex);
    faulty->calls[call]++;
    for (size_t i = 0; i < faulty->rule_count; i++) {
        struct rule *rule = &faulty->rules[i];
        if (!rule_fires(rule, call, offset, len))
            continue;
        verdict.delay_ms += rule->delay_ms;
        verdict.kill = verdict.kill || rule->kill;
        if (verdict.error == RS_OK && rule->error != RS_OK) {
            verdict.error = rule->error;
            verdict.at_byte = rule->at_byte;
            faulty->failures++;
        }
    }
    rs_mutex_unlock(&faulty->mutex);
    return verdict;
}

static void carry_out(const struct verdict *verdict)
{
    if (verdict->delay_ms != 0)
        usleep((useconds_t)RS_MIN(verdict->delay_ms, 60000) * 1000);
    if (verdict->kill)
        kill(getpid(), SIGKILL);
}

static rs_rc report(enum rs_faulty_call call, const char *path, rs_rc rc, struct rs_err *err)
{
    return rs_err_set(err, rc, "%s of %s was made to fail (a test's plan)", call_names[call], path);
}

/* For calls without bytes: whether the call may pass. */
static rs_rc gate(struct rs_storage *storage, enum rs_faulty_call call, const char *path, struct rs_err *err)
{
    struct verdict verdict = decide((struct faulty *)storage, call, 0, 0);
    carry_out(&verdict);
    return verdict.error == RS_OK ? RS_OK : report(call, path, verdict.error, err);
}

static struct rs_storage *inner_of(struct rs_storage *storage)
{
    return ((struct faulty *)storage)->inner;
}

/* --- calls without bytes --- */

static void faulty_free(struct rs_storage *storage)
{
    struct faulty *faulty = (struct faulty *)storage;
    rs_storage_free(&faulty->inner);
    rs_mutex_release(&faulty->mutex);
    free(faulty);
}

static rs_rc faulty_stat(struct rs_storage *storage, const char *path, struct rs_storage_stat *out, struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_STAT, path, err));
    return rs_storage_stat(inner_of(storage), path, out, err);
}

static rs_rc faulty_put(struct rs_storage *storage, const char *path, rs_str bytes, struct rs_storage_batch *batch,
                        struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_PUT, path, err));
    return rs_storage_put(inner_of(storage), path, bytes, batch, err);
}

/* A put that looks first: plans count it among the puts. */
static rs_rc faulty_replace(struct rs_storage *storage, const char *path, rs_str bytes, rs_storage_accept *accept,
                            void *ctx, struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_PUT, path, err));
    return rs_storage_replace(inner_of(storage), path, bytes, accept, ctx, batch, err);
}

static rs_rc faulty_keep(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                         struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_KEEP, path, err));
    return rs_storage_keep(inner_of(storage), path, batch, err);
}

/* It writes, so plans count it among the puts. */
static rs_rc faulty_touch(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_PUT, path, err));
    return rs_storage_touch(inner_of(storage), path, err);
}

static void faulty_near(struct rs_storage *storage, const char *path)
{
    rs_storage_near(inner_of(storage), path);
}

static rs_rc faulty_mkdir(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                          struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_MKDIR, path, err));
    return rs_storage_mkdir(inner_of(storage), path, batch, err);
}

static rs_rc faulty_remove(struct rs_storage *storage, const char *path, struct rs_storage_batch *batch,
                           struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_REMOVE, path, err));
    return rs_storage_remove(inner_of(storage), path, batch, err);
}

static rs_rc faulty_remove_if(struct rs_storage *storage, const char *path, rs_storage_accept *accept, void *ctx,
                              struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_REMOVE, path, err));
    return rs_storage_remove_if(inner_of(storage), path, accept, ctx, batch, err);
}

static rs_rc faulty_prune(struct rs_storage *storage, const char *path, unsigned levels, struct rs_storage_batch *batch,
                          struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_REMOVE, path, err));
    return rs_storage_prune(inner_of(storage), path, levels, batch, err);
}

/* A directory that breaks off after some children. */
struct broken_off {
    rs_storage_visit *visit;
    void *ctx;
    uint64_t left;
    bool stopped; /* by the visitor */
};

static bool visit_some(void *ctx, rs_str name, bool is_directory)
{
    struct broken_off *b = ctx;
    if (b->left == 0)
        return false;
    b->left--;
    b->stopped = !b->visit(b->ctx, name, is_directory);
    return !b->stopped;
}

/* One of the two scans of the storage inside. */
typedef rs_rc scan_call(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                        struct rs_err *err);

static rs_rc scan_by(scan_call *scan, struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                     struct rs_err *err)
{
    struct verdict verdict = decide((struct faulty *)storage, RS_FAULTY_LIST, 0, UINT64_MAX);
    carry_out(&verdict);
    if (verdict.error == RS_OK)
        return scan(inner_of(storage), path, visit, ctx, err);
    struct broken_off b = {visit, ctx, verdict.at_byte == UINT64_MAX ? 0 : verdict.at_byte, false};
    if (b.left > 0)
        RS_TRY(scan(inner_of(storage), path, visit_some, &b, err));
    return b.stopped ? RS_OK : report(RS_FAULTY_LIST, path, verdict.error, err);
}

static rs_rc faulty_scan(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                         struct rs_err *err)
{
    return scan_by(rs_storage_scan, storage, path, visit, ctx, err);
}

static rs_rc faulty_scan_all(struct rs_storage *storage, const char *path, rs_storage_visit *visit, void *ctx,
                             struct rs_err *err)
{
    return scan_by(rs_storage_scan_all, storage, path, visit, ctx, err);
}

static rs_rc faulty_move(struct rs_storage *storage, const char *from, const char *to, struct rs_storage_batch *batch,
                         struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_MOVE, from, err));
    return rs_storage_move(inner_of(storage), from, to, batch, err);
}

static rs_rc faulty_sync(struct rs_storage *storage, struct rs_storage_batch *batch, struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_SYNC, "a batch", err));
    return rs_storage_sync(inner_of(storage), batch, err);
}

static int64_t faulty_lag_ms(const struct rs_storage *storage)
{
    return rs_storage_lag_ms(((const struct faulty *)storage)->inner);
}

static uint64_t faulty_flushes(const struct rs_storage *storage)
{
    return rs_storage_flushes(((const struct faulty *)storage)->inner);
}

/* --- reading --- */

static rs_rc faulty_read(struct rs_storage *storage, const char *path, struct rs_buf *out, struct rs_err *err)
{
    struct verdict verdict = decide((struct faulty *)storage, RS_FAULTY_READ, 0, UINT64_MAX);
    carry_out(&verdict);
    if (verdict.error != RS_OK && verdict.at_byte == UINT64_MAX)
        return report(RS_FAULTY_READ, path, verdict.error, err);
    size_t before = out->len;
    RS_TRY(rs_storage_read(inner_of(storage), path, out, err));
    if (verdict.error == RS_OK || out->len - before <= verdict.at_byte)
        return RS_OK;
    out->len = before + (size_t)verdict.at_byte;
    return report(RS_FAULTY_READ, path, verdict.error, err);
}

/* A file that ends too early: the first bytes of source, which says its old length. */
static rs_rc shorten(struct rs_source *source, uint64_t at_byte, struct rs_err *err)
{
    RS_AUTO(rs_fd_close) int fd = memfd_create("faulty", MFD_CLOEXEC);
    off_t from = (off_t)source->offset;
    for (uint64_t done = 0; fd >= 0 && done < at_byte;) {
        ssize_t n = sendfile(fd, source->fd, &from, (size_t)(at_byte - done));
        if (n <= 0)
            rs_fd_close(&fd);
        done += n > 0 ? (uint64_t)n : 0;
    }
    if (fd < 0)
        return rs_err_set(err, RS_E_IO, "cannot prepare a short file for a test");
    uint64_t length = source->length;
    rs_source_release(source);
    *source = rs_source_file(rs_fd_take(&fd), 0, length);
    return RS_OK;
}

static rs_rc faulty_open(struct rs_storage *storage, const char *path, struct rs_source *out,
                         struct rs_storage_stat *out_stat, struct rs_err *err)
{
    struct verdict verdict = decide((struct faulty *)storage, RS_FAULTY_OPEN, 0, UINT64_MAX);
    carry_out(&verdict);
    if (verdict.error != RS_OK && verdict.at_byte == UINT64_MAX)
        return report(RS_FAULTY_OPEN, path, verdict.error, err);
    struct rs_source source;
    RS_TRY(rs_storage_open(inner_of(storage), path, &source, out_stat, err));
    rs_rc rc = RS_OK;
    if (verdict.error != RS_OK && source.kind == RS_SOURCE_FILE && source.length > verdict.at_byte)
        rc = shorten(&source, verdict.at_byte, err);
    if (rc != RS_OK)
        rs_source_release(&source);
    else
        *out = source;
    return rc;
}

/* --- objects that grow --- */

static rs_rc faulty_append_create(struct rs_storage *storage, const char *path, struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_APPEND_CREATE, path, err));
    return rs_storage_append_create(inner_of(storage), path, err);
}

static rs_rc faulty_append_open(struct rs_storage *storage, const char *path, struct rs_storage_file **out,
                                uint64_t *out_size, struct rs_err *err)
{
    RS_TRY(gate(storage, RS_FAULTY_APPEND_OPEN, path, err));
    struct rs_storage_file *inner;
    RS_TRY(rs_storage_append_open(inner_of(storage), path, &inner, out_size, err));
    struct faulty_file *file = rs_calloc(1, sizeof(*file));
    file->file.storage = storage;
    file->inner = inner;
    file->size = *out_size;
    *out = &file->file;
    return RS_OK;
}

static rs_rc faulty_append(struct rs_storage_file *base, const void *data, size_t len, struct rs_err *err)
{
    struct faulty_file *file = (struct faulty_file *)base;
    struct verdict verdict = decide((struct faulty *)base->storage, RS_FAULTY_APPEND, file->size, len);
    carry_out(&verdict);
    if (verdict.error != RS_OK && verdict.at_byte == UINT64_MAX)
        return report(RS_FAULTY_APPEND, "a file", verdict.error, err);
    if (verdict.error != RS_OK)
        len = verdict.at_byte > file->size ? (size_t)(verdict.at_byte - file->size) : 0;
    RS_TRY(rs_storage_append(file->inner, data, len, err));
    file->size += len;
    return verdict.error == RS_OK ? RS_OK : report(RS_FAULTY_APPEND, "a file", verdict.error, err);
}

static rs_rc faulty_append_read(struct rs_storage_file *base, uint64_t offset, void *buf, size_t cap, size_t *out_n,
                                struct rs_err *err)
{
    RS_TRY(gate(base->storage, RS_FAULTY_APPEND_READ, "a file", err));
    return rs_storage_append_read(((struct faulty_file *)base)->inner, offset, buf, cap, out_n, err);
}

static bool faulty_append_trusted(const struct rs_storage_file *base)
{
    return rs_storage_append_trusted(((const struct faulty_file *)base)->inner);
}

static void faulty_append_close(struct rs_storage_file *base)
{
    struct faulty_file *file = (struct faulty_file *)base;
    rs_storage_append_close(&file->inner);
    free(file);
}

static rs_rc faulty_publish(struct rs_storage_file *base, const char *path, struct rs_storage_batch *batch,
                            struct rs_err *err)
{
    RS_TRY(gate(base->storage, RS_FAULTY_PUBLISH, path, err));
    return rs_storage_publish(&((struct faulty_file *)base)->inner, path, batch, err);
}

static const struct rs_storage_ops faulty_ops = {
    .name = "faulty",
    .free = faulty_free,
    .stat = faulty_stat,
    .read = faulty_read,
    .open = faulty_open,
    .put = faulty_put,
    .replace = faulty_replace,
    .keep = faulty_keep,
    .touch = faulty_touch,
    .near = faulty_near,
    .mkdir = faulty_mkdir,
    .remove = faulty_remove,
    .remove_if = faulty_remove_if,
    .prune = faulty_prune,
    .scan = faulty_scan,
    .scan_all = faulty_scan_all,
    .move = faulty_move,
    .sync = faulty_sync,
    .lag_ms = faulty_lag_ms,
    .flushes = faulty_flushes,
    .append_create = faulty_append_create,
    .append_open = faulty_append_open,
    .append = faulty_append,
    .append_read = faulty_append_read,
    .append_trusted = faulty_append_trusted,
    .append_close = faulty_append_close,
    .publish = faulty_publish,
};

void rs_storage_faulty_new(struct rs_storage *inner, struct rs_storage **out)
{
    struct faulty *faulty = rs_calloc(1, sizeof(*faulty));
    faulty->storage.ops = &faulty_ops;
    faulty->inner = inner;
    inner->uncounted = true; /* what fails here never comes there */
    storage_count_as(&faulty->storage, inner->ops->name);
    rs_mutex_init(&faulty->mutex, RS_LOCK_FAULTY);
    *out = &faulty->storage;
}

static struct faulty *faulty_of(const struct rs_storage *storage)
{
    RS_ASSERT(storage->ops == &faulty_ops);
    return (struct faulty *)(uintptr_t)storage;
}

/* --- the plan --- */

static bool parse_call(rs_str name, enum rs_faulty_call *out)
{
    for (int i = 0; i <= RS_FAULTY_CALLS; i++) {
        if (rs_str_eq_c(name, call_names[i])) {
            *out = (enum rs_faulty_call)i;
            return true;
        }
    }
    return false;
}

static bool parse_error(rs_str name, rs_rc *out)
{
    for (int rc = RS_OK + 1; rc < RS_RC_COUNT; rc++) {
        rs_str known = rs_str_c(rs_rc_name((rs_rc)rc));
        if (rs_str_starts(known, RS_STR("RS_E_")))
            known = rs_str_from(known, 5);
        if (rs_str_eq(name, known)) {
            *out = (rs_rc)rc;
            return true;
        }
    }
    return false;
}

static bool parse_setting(rs_str setting, struct rule *rule)
{
    rs_str key, value;
    rs_str_cut(setting, '=', &key, &value);
    if (rs_str_eq_c(key, "nth"))
        return rs_str_u64(value, UINT64_MAX, &rule->nth) && rule->nth != 0;
    if (rs_str_eq_c(key, "times"))
        return rs_str_u64(value, UINT64_MAX, &rule->times);
    if (rs_str_eq_c(key, "fail-at-byte"))
        return rs_str_u64(value, UINT64_MAX - 1, &rule->at_byte);
    if (rs_str_eq_c(key, "delay"))
        return rs_str_u64(value, 60000, &rule->delay_ms);
    if (rs_str_eq_c(key, "error"))
        return parse_error(value, &rule->error);
    rule->kill = rule->kill || rs_str_eq_c(setting, "kill");
    return rs_str_eq_c(setting, "kill");
}

static rs_rc parse_rule(rs_str text, struct rule *out, struct rs_err *err)
{
    struct rule rule = {.times = UINT64_MAX, .at_byte = UINT64_MAX};
    rs_str call, settings, setting;
    rs_str_cut(text, ':', &call, &settings);
    bool valid = parse_call(call, &rule.call);
    while (valid && settings.len != 0) {
        rs_str_cut(settings, ':', &setting, &settings);
        valid = parse_setting(setting, &rule);
    }
    if (!valid)
        return rs_err_set(err, RS_E_INVALID, "\"" RS_STR_FMT "\" is no rule of a plan of failures (see faulty.h)",
                          RS_STR_ARG(text));
    if (rule.error == RS_OK && !rule.kill && (rule.delay_ms == 0 || rule.at_byte != UINT64_MAX))
        rule.error = RS_E_IO;
    if (rule.nth != 0 && rule.times == UINT64_MAX)
        rule.times = 1;
    *out = rule;
    return RS_OK;
}

rs_rc rs_storage_faulty_parse(struct rs_storage *storage, rs_str plan, struct rs_err *err)
{
    struct faulty *faulty = faulty_of(storage);
    struct rule rules[RULES_MAX];
    size_t count = 0;
    rs_str text;
    while (plan.len != 0) {
        rs_str_cut(plan, ';', &text, &plan);
        if (rs_str_trim(text).len == 0)
            continue;
        if (count == RULES_MAX)
            return rs_err_set(err, RS_E_INVALID, "a plan of failures has at most %d rules", RULES_MAX);
        RS_TRY(parse_rule(rs_str_trim(text), &rules[count++], err));
    }
    rs_mutex_lock(&faulty->mutex);
    bool fits = faulty->rule_count + count <= RULES_MAX;
    for (size_t i = 0; i < count && fits; i++)
        faulty->rules[faulty->rule_count++] = rules[i];
    rs_mutex_unlock(&faulty->mutex);
    return fits ? RS_OK : rs_err_set(err, RS_E_INVALID, "a plan of failures has at most %d rules", RULES_MAX);
}

void rs_storage_faulty_clear(struct rs_storage *storage)
{
    struct faulty *faulty = faulty_of(storage);
    rs_mutex_lock(&faulty->mutex);
    faulty->rule_count = 0;
    faulty->failures = 0;
    memset(faulty->calls, 0, sizeof(faulty->calls));
    rs_mutex_unlock(&faulty->mutex);
}

uint64_t rs_storage_faulty_calls(const struct rs_storage *storage, enum rs_faulty_call call)
{
    struct faulty *faulty = faulty_of(storage);
    rs_mutex_lock(&faulty->mutex);
    uint64_t calls = faulty->calls[call];
    rs_mutex_unlock(&faulty->mutex);
    return calls;
}

uint64_t rs_storage_faulty_failures(const struct rs_storage *storage)
{
    struct faulty *faulty = faulty_of(storage);
    rs_mutex_lock(&faulty->mutex);
    uint64_t failures = faulty->failures;
    rs_mutex_unlock(&faulty->mutex);
    return failures;
}
