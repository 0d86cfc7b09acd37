/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RETENTION. A repository is looked at twice: once for the N newest tags (in memory that grows with N alone), once to
 * judge each tag. Pushes and deletes go on meanwhile:
 * - A tag that is pushed in between is newer than all that were counted, and stays. One that is removed in between by
 *   somebody else is missed by nobody; it is as if it had been removed after this run.
 * - What a tag was judged by is looked at again under the lock that whoever moves the tag must take
 *   (rs_tag_delete_unchanged): one that was pushed again since, with other bytes or the same, is spared.
 * - A pull does not take that lock. One that comes in the very moment of a removal may be the last one.
 *
 * TRACKED. A pull that nobody recorded must not count as none. So what pulls are judged by begins with a file of each
 * repository (rs_path_pulled_since): its text says since when every server that runs records them, its time of change
 * until when that is known. A run in a server that records confirms it. If it was not confirmed for a day more than
 * the interval of the runs (no server ran, one without the rule did, or a registry:2), tracking begins anew, and
 * nothing goes for its pulls until it has lasted long enough. The command never writes that file.
 */
#include "upkeep/retention.h"

#include "base/clock.h"
#include "base/glob.h"
#include "base/mem.h"
#include "layout/link.h"
#include "layout/paths.h"
#include "registry/manifest.h"
#include "upkeep/retention_priv.h"

#define REASON_MAX 1024
#define CONFIRMED_S 86400
#define JUST_NOW_S 5   /* a push so young cannot be told from another by its second alone */
#define LINK_BYTES 71  /* of the shortest link; a shorter one is being written or broken */
#define SUBJECT_LEN 71 /* sha256-<64 hex> */

const struct rs_config_retention_rule *rs_retention_rule(const struct rs_config_retention *config, rs_str repository)
{
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct rs_config_list *globs = &config->rules[i].repositories;
        if (rs_globs_match(globs->items, globs->count, repository))
            return &config->rules[i];
    }
    return NULL;
}

bool rs_retention_wants_pulls(const struct rs_config_retention *config)
{
    for (size_t i = 0; i < config->rule_count; i++)
        if (config->rules[i].not_pulled_for_ms > 0)
            return true;
    return false;
}

bool rs_retention_tracks_pulls(const void *config, rs_str repository)
{
    const struct rs_config_retention_rule *rule = rs_retention_rule(config, repository);
    return rule != NULL && rule->not_pulled_for_ms > 0;
}

struct pass {
    struct rs_registry *registry;
    struct rs_storage *storage;
    const struct rs_retention *run;
    struct rs_retention_report *report;
    struct rs_err *err; /* the first failure's */

    /* Of the repository. */
    const struct rs_config_retention_rule *rule;
    rs_str repository;
    int64_t now_s;
    int64_t tracked_s;
    struct rs_newest newest;
    rs_rc rc;
    struct rs_err failure;

    /* Of the tag. */
    rs_str tag;
    struct rs_storage_stat st;
    struct rs_digest digest;
    bool has_digest;
    int64_t pulled_s;
    struct rs_buf reason;
};

static bool goes_on(const struct pass *p)
{
    return p->run->goes_on == NULL || p->run->goes_on(p->run->ctx);
}

/* --- what is told --- */

static void tell(struct pass *p, enum rs_retention_fate fate)
{
    const struct rs_retention_tag tag = {
        .repository = p->repository,
        .tag = p->tag,
        .digest = p->has_digest ? &p->digest : NULL,
        .pushed_s = p->has_digest ? p->st.mtime_s : RS_RETENTION_NEVER,
        .pulled_s = p->pulled_s,
        .fate = fate,
        .reason = rs_buf_str(&p->reason),
    };
    uint64_t *const counts[] = {
        [RS_RETENTION_KEPT] = &p->report->kept,
        [RS_RETENTION_REMOVED] = &p->report->removed,
        [RS_RETENTION_SPARED] = &p->report->spared,
        [RS_RETENTION_FAILED] = &p->report->failed,
    };
    ++*counts[fate];
    if (p->run->tell != NULL)
        p->run->tell(p->run->ctx, &tag);
}

static void tell_failure(struct pass *p)
{
    if (p->report->failed == 0 && p->err != NULL)
        *p->err = p->failure;
    rs_buf_clear(&p->reason);
    rs_buf_add_c(&p->reason, p->failure.text);
    tell(p, RS_RETENTION_FAILED);
}

/* --- tracking --- */

static int64_t read_tracked(struct pass *p, const char *path)
{
    struct rs_storage_stat st;
    RS_AUTO(rs_buf_release) struct rs_buf text;
    int64_t since_s;
    int64_t oldest_s = p->now_s - CONFIRMED_S - p->run->config->interval_ms / 1000;
    rs_buf_init(&text, 64);
    if (rs_storage_stat(p->storage, path, &st, NULL) != RS_OK || st.mtime_s < oldest_s ||
        rs_storage_read(p->storage, path, &text, NULL) != RS_OK ||
        !rs_rfc3339_parse(rs_str_trim(rs_buf_str(&text)), &since_s) || since_s > p->now_s)
        return RS_RETENTION_NEVER;
    return since_s;
}

/* Since when pulls from the repository are tracked. A failure: they count as not tracked. */
static int64_t tracked_since(struct pass *p)
{
    struct rs_path path;
    char now[RS_RFC3339_SIZE];
    rs_path_pulled_since(&path, p->repository);
    int64_t since_s = read_tracked(p, path.z);
    if (!p->run->tracks)
        return since_s;
    rs_rc rc;
    if (since_s != RS_RETENTION_NEVER) {
        rc = rs_storage_touch(p->storage, path.z, &p->failure);
    } else {
        rs_rfc3339(p->now_s, now);
        rc = rs_storage_put(p->storage, path.z, rs_str_c(now), NULL, &p->failure);
    }
    if (rc != RS_OK)
        tell_failure(p);
    return since_s != RS_RETENTION_NEVER || rc != RS_OK ? since_s : p->now_s;
}

/* --- a tag --- */

static const char *kept_by(const struct pass *p, rs_str tag)
{
    const struct rs_config_list *globs = &p->rule->keep_tags;
    for (size_t i = 0; i < globs->count; i++)
        if (rs_glob_match(rs_str_c(globs->items[i]), tag))
            return globs->items[i];
    return NULL;
}

/* Whether the tag is one by which clients without the referrers API keep what belongs to a manifest, sha256-<hex> or
 * sha256-<hex>.sig, and that manifest is there. It has no life of its own then. */
static rs_rc find_subject(struct pass *p, rs_str tag, struct rs_digest *out, bool *out_found)
{
    struct rs_path path;
    struct rs_storage_stat st;
    char text[SUBJECT_LEN + 1];
    *out_found = false;
    if (tag.len < SUBJECT_LEN || (tag.len > SUBJECT_LEN && tag.ptr[SUBJECT_LEN] != '.') ||
        !rs_str_starts(tag, RS_STR("sha256-")))
        return RS_OK;
    memcpy(text, tag.ptr, SUBJECT_LEN);
    text[6] = ':';
    if (rs_digest_parse((rs_str){text, SUBJECT_LEN}, out, NULL) != RS_OK)
        return RS_OK;
    rs_rc rc = rs_storage_stat(p->storage, rs_path_revision_link(&path, p->repository, out), &st, &p->failure);
    *out_found = rc == RS_OK;
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}

static rs_rc stat_tag(struct pass *p, rs_str tag)
{
    struct rs_path path;
    return rs_storage_stat(p->storage, rs_path_tag_current(&path, p->repository, tag), &p->st, &p->failure);
}

/* Counts it, unless it takes no place: removed meanwhile, broken, or kept by its name. */
static bool visit_to_count(void *ctx, rs_str tag)
{
    struct pass *p = ctx;
    struct rs_digest subject;
    bool found = false;
    p->rc = kept_by(p, tag) == NULL ? find_subject(p, tag, &subject, &found) : RS_OK;
    if (p->rc == RS_OK && !found && kept_by(p, tag) == NULL) {
        p->rc = stat_tag(p, tag);
        if (p->rc == RS_OK && p->st.size >= LINK_BYTES)
            rs_newest_add(&p->newest, tag, p->st.mtime_s);
        p->rc = p->rc == RS_E_NOT_FOUND ? RS_OK : p->rc;
    }
    return p->rc == RS_OK && goes_on(p);
}

/* What the tag is judged by. RS_E_NOT_FOUND: it is gone. */
static rs_rc look(struct pass *p)
{
    struct rs_path path;
    struct rs_storage_stat st;
    p->has_digest = false;
    p->pulled_s = RS_RETENTION_NEVER;
    RS_TRY(stat_tag(p, p->tag));
    rs_path_tag_current(&path, p->repository, p->tag);
    RS_TRY(rs_link_read(p->storage, path.z, &p->digest, &p->failure));
    p->has_digest = true;
    if (p->rule->not_pulled_for_ms == 0)
        return RS_OK;
    rs_rc rc = rs_storage_stat(p->storage, rs_path_pulled_at(&path, p->repository, &p->digest), &st, &p->failure);
    if (rc == RS_OK)
        p->pulled_s = st.mtime_s;
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}

static rs_rc judge(struct pass *p, bool *out_goes)
{
    struct rs_digest subject;
    bool has_subject;
    RS_TRY(find_subject(p, p->tag, &subject, &has_subject));
    const struct rs_retention_case c = {
        .now_s = p->now_s,
        .pushed_s = p->st.mtime_s,
        .pulled_s = p->pulled_s,
        .tracked_s = p->tracked_s,
        .kept_by = kept_by(p, p->tag),
        .companion = has_subject ? subject.text : NULL,
        .number = rs_newest_number(&p->newest, p->tag, p->st.mtime_s),
        .of = p->newest.seen,
    };
    *out_goes = rs_retention_decide(p->rule, &c, &p->reason);
    if (*out_goes && p->st.stamp == 0 && p->now_s - p->st.mtime_s < JUST_NOW_S) {
        rs_buf_clear(&p->reason);
        rs_buf_add_c(&p->reason, "pushed just now");
        *out_goes = false;
    }
    return RS_OK;
}

static enum rs_retention_fate remove_tag(struct pass *p)
{
    if (p->run->dry_run)
        return RS_RETENTION_REMOVED;
    rs_rc rc = rs_tag_delete_unchanged(p->registry, p->repository, p->tag, &p->digest, &p->st, &p->failure);
    if (rc == RS_OK)
        return RS_RETENTION_REMOVED;
    if (rc != RS_E_PRECONDITION && rc != RS_E_MANIFEST_UNKNOWN)
        return RS_RETENTION_FAILED;
    rs_buf_add_c(&p->reason, rc == RS_E_PRECONDITION ? "; but it was pushed again just now"
                                                     : "; but somebody else has removed it just now");
    return RS_RETENTION_SPARED;
}

static bool visit_to_judge(void *ctx, rs_str tag)
{
    struct pass *p = ctx;
    bool goes = false;
    p->tag = tag;
    rs_buf_clear(&p->reason);
    rs_rc rc = look(p);
    if (rc == RS_E_NOT_FOUND)
        return goes_on(p);
    p->report->tags++;
    if (rc == RS_OK)
        rc = judge(p, &goes);
    enum rs_retention_fate fate = rc != RS_OK ? RS_RETENTION_FAILED : goes ? remove_tag(p) : RS_RETENTION_KEPT;
    if (fate == RS_RETENTION_FAILED)
        tell_failure(p);
    else
        tell(p, fate);
    return goes_on(p);
}

/* --- a repository --- */

static rs_rc visit_tags(struct pass *p, rs_registry_visit *visit)
{
    p->rc = RS_OK;
    rs_rc rc = rs_tags_list(p->registry, p->repository, (rs_str){NULL, 0}, visit, p, &p->failure);
    return rc != RS_OK ? rc : p->rc;
}

static rs_rc look_at_tags(struct pass *p)
{
    if (p->rule->keep_last > 0)
        RS_TRY(visit_tags(p, visit_to_count));
    rs_newest_sort(&p->newest);
    return goes_on(p) ? visit_tags(p, visit_to_judge) : RS_OK;
}

static void look_at_repository(struct pass *p)
{
    uint64_t failed;
    p->now_s = rs_wall_s();
    p->tag = (rs_str){NULL, 0};
    p->has_digest = false;
    p->pulled_s = RS_RETENTION_NEVER;
    p->tracked_s = RS_RETENTION_NEVER;
    if (p->rule->not_pulled_for_ms > 0) {
        if (p->run->tracks && rs_pulls_write(p->registry, &failed, &p->failure) != RS_OK)
            tell_failure(p);
        p->tracked_s = tracked_since(p);
    }
    rs_newest_init(&p->newest, p->rule->keep_last);
    rs_rc rc = look_at_tags(p);
    rs_newest_release(&p->newest);
    if (rc == RS_OK || rc == RS_E_NAME_UNKNOWN) /* removed meanwhile */
        return;
    p->tag = (rs_str){NULL, 0};
    p->has_digest = false;
    tell_failure(p);
}

static bool visit_repository(void *ctx, rs_str name)
{
    struct pass *p = ctx;
    p->rule = rs_retention_rule(p->run->config, name);
    p->repository = name;
    if (p->rule == NULL) {
        p->report->unruled++;
        return goes_on(p);
    }
    p->report->repositories++;
    look_at_repository(p);
    return goes_on(p);
}

rs_rc rs_retention_run(struct rs_registry *registry, struct rs_storage *storage, const struct rs_retention *run,
                       struct rs_retention_report *out, struct rs_err *err)
{
    *out = (struct rs_retention_report){0};
    struct pass *p = rs_calloc(1, sizeof *p);
    *p = (struct pass){.registry = registry, .storage = storage, .run = run, .report = out, .err = err};
    rs_buf_init(&p->reason, REASON_MAX);
    struct rs_err broken;
    rs_rc rc = rs_catalog_list(registry, (rs_str){NULL, 0}, visit_repository, p, &broken);
    if (rc != RS_OK && err != NULL)
        *err = broken;
    rs_buf_release(&p->reason);
    free(p);
    return rc;
}
