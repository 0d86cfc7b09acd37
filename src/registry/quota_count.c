/* SPDX-License-Identifier: Apache-2.0 */
/* What the repositories of a quota link: a walk over their links, with a look at each, and one at each blob's data. */
#include "base/glob.h"
#include "base/mem.h"
#include "layout/link.h"
#include "layout/paths.h"
#include "layout/walk.h"
#include "oci/reference.h"
#include "registry/quota_priv.h"

struct counting {
    const struct quota_group *group;
    struct rs_quota_table *out;
    rs_str repository;
    enum rs_quota_kind kind;
    rs_rc rc;
    struct rs_err *err;
};

bool quota_group_has(const struct quota_group *group, rs_str repository)
{
    return rs_globs_match(group->rule.repositories, group->rule.repository_count, repository);
}

/* Of a link that leads nowhere, or that nobody can read, nothing can be pulled: it counts for nothing. */
static rs_rc add_data(struct counting *c, const struct rs_digest *target)
{
    struct rs_path path;
    struct rs_storage_stat st;
    struct rs_quota_key key = rs_quota_key_of(target);
    if (rs_quota_table_has(c->out, &key))
        return RS_OK;
    rs_rc rc = rs_storage_stat(c->group->storage, rs_path_blob(&path, target), &st, c->err);
    if (rc != RS_OK)
        return rc == RS_E_NOT_FOUND ? RS_OK : rc;
    return rs_quota_table_add(c->out, &key, st.size, c->err);
}

static rs_rc add_link(struct counting *c, const struct rs_digest *digest)
{
    struct rs_path path;
    struct rs_digest target;
    struct rs_quota_key key = rs_quota_key_of(digest);
    /* Only links of sha512 lead elsewhere (registry:2's aliases), so of others a known digest needs no look. */
    if (digest->alg == RS_SHA256 && rs_quota_table_has(c->out, &key))
        return RS_OK;
    if (c->kind == RS_QUOTA_REVISION)
        rs_path_revision_link(&path, c->repository, digest);
    else
        rs_path_layer_link(&path, c->repository, digest);
    rs_rc rc = rs_link_follow(c->group->storage, path.z, digest, &target, c->err);
    if (rc == RS_E_NOT_FOUND || rc == RS_E_CORRUPT)
        return RS_OK;
    return rc == RS_OK ? add_data(c, &target) : rc;
}

static bool visit_digest(void *ctx, const struct rs_digest *digest)
{
    struct counting *c = ctx;
    c->rc = atomic_load(&c->group->stopping) ? rs_err_set(c->err, RS_E_UNAVAILABLE, "the registry is being closed")
                                             : add_link(c, digest);
    return c->rc == RS_OK;
}

static rs_rc count_links(struct counting *c, const char *path, enum rs_hash_alg alg)
{
    RS_TRY(rs_digests_walk(c->group->storage, path, alg, visit_digest, c, c->err));
    return c->rc;
}

static rs_rc count_repository(struct counting *c, unsigned parts)
{
    struct rs_path path;
    for (unsigned i = 0; i < RS_HASH_ALGS; i++) {
        enum rs_hash_alg alg = (enum rs_hash_alg)i;
        c->kind = RS_QUOTA_LAYER;
        if ((parts & RS_PART_LAYERS) != 0)
            RS_TRY(count_links(c, rs_path_layer_links(&path, c->repository, alg), alg));
        c->kind = RS_QUOTA_REVISION;
        if ((parts & RS_PART_MANIFESTS) != 0)
            RS_TRY(count_links(c, rs_path_revisions(&path, c->repository, alg), alg));
    }
    return RS_OK;
}

static bool visit_repository(void *ctx, rs_str name, unsigned parts)
{
    struct counting *c = ctx;
    c->repository = name;
    if (quota_group_has(c->group, name))
        c->rc = count_repository(c, parts);
    return c->rc == RS_OK;
}

rs_rc quota_count(const struct quota_group *group, struct rs_quota_table *out, struct rs_err *err)
{
    struct counting c = {.group = group, .out = out, .err = err};
    RS_TRY(rs_repositories_walk_below(group->storage, rs_str_c(group->below), visit_repository, &c, err));
    return c.rc;
}

/* --- where to begin --- */

/* The part of a pattern that is a name as it stands, without what a star or a set begins in. */
static rs_str literal_part(rs_str glob)
{
    size_t len = 0, slash = 0;
    while (len < glob.len && strchr("*?[\\", glob.ptr[len]) == NULL)
        len++;
    if (len == glob.len)
        return glob;
    return rs_str_rfind(rs_str_sub(glob, 0, len), '/', &slash) ? rs_str_sub(glob, 0, slash) : (rs_str){NULL, 0};
}

/* The longest name that both are, or are below. */
static rs_str common_part(rs_str a, rs_str b)
{
    size_t end = 0;
    for (size_t i = 0; i <= a.len && i <= b.len; i++) {
        bool a_ends = i == a.len || a.ptr[i] == '/';
        bool b_ends = i == b.len || b.ptr[i] == '/';
        if (a_ends && b_ends)
            end = i;
        if (i == a.len || i == b.len || a.ptr[i] != b.ptr[i])
            break;
    }
    return rs_str_sub(a, 0, end);
}

char *quota_below(const char *const *globs, size_t count)
{
    rs_str below = count > 0 ? literal_part(rs_str_c(globs[0])) : (rs_str){NULL, 0};
    for (size_t i = 1; i < count; i++)
        below = common_part(below, literal_part(rs_str_c(globs[i])));
    return rs_str_dup(rs_name_check(below, NULL) == RS_OK ? below : (rs_str){NULL, 0});
}
