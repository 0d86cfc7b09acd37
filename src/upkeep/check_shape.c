/* SPDX-License-Identifier: Apache-2.0 */
/* What lies where nothing should: leftovers of killed writes, and what nobody knows. */
#include <limits.h>

#include "base/clock.h"
#include "upkeep/check_priv.h"

#define TMP RS_STR(".tmp")
#define RANDOM_DIGITS 16

/* "<name>.<16 digits>.tmp" is ours, "<name>.<uuid>.tmp" registry:3's. */
static bool is_leftover(rs_str name)
{
    uint64_t ignored;
    size_t dot;
    if (!rs_str_ends(name, TMP))
        return false;
    name.len -= TMP.len;
    if (!rs_str_rfind(name, '.', &dot) || dot == 0)
        return false;
    rs_str random = rs_str_from(name, dot + 1);
    return (random.len == RANDOM_DIGITS && rs_hex_decode(random, &ignored, sizeof ignored)) || rs_uuid_valid(random);
}

static void tell_leftover(struct check *c, struct rs_finding *f, const char *path, const struct rs_storage_stat *st)
{
    struct rs_err err = {0};
    char what[CHECK_TEXT_MAX];
    snprintf(what, sizeof what, "a write that was cut short has left %llu bytes behind", (unsigned long long)st->size);
    f->kind = RS_FINDING_LEFTOVER;
    f->what = rs_str_c(what);
    rs_rc rc = c->config->repair ? rs_storage_remove(c->storage, path, NULL, &err) : RS_OK;
    check_tell_repair(c, f, "would remove it", "removed it", rc, &err);
}

/* Whoever is writing it just now will have renamed it in a moment. */
static void look_at_leftover(struct check *c, struct rs_finding *f, const char *path)
{
    struct rs_storage_stat st;
    struct rs_err err;
    rs_rc rc = rs_storage_stat(c->storage, path, &st, &err);
    if (rc != RS_OK)
        check_failed(c, f->repository, path, rc, &err);
    else if (check_is_old(c, st.mtime_s))
        tell_leftover(c, f, path, &st);
}

void check_odd(struct check *c, rs_str repository, const char *directory, rs_str name, bool is_directory)
{
    char path[CHECK_TEXT_MAX];
    snprintf(path, sizeof path, "%s/" RS_STR_FMT, directory, RS_STR_ARG(name));
    struct rs_finding f = {.kind = RS_FINDING_STRAY, .repository = repository, .path = rs_str_c(path)};
    if (!is_directory && is_leftover(name)) {
        look_at_leftover(c, &f, path);
        return;
    }
    f.what = is_directory ? RS_STR("a directory that belongs to nothing known; it is left alone")
                          : RS_STR("a file that belongs to nothing known; it is left alone");
    check_tell(c, &f);
}

struct leaf {
    struct check *c;
    rs_str repository;
    const char *directory;
    const char *name;
    bool found;
};

static bool visit_leaf(void *ctx, rs_str name, bool is_directory)
{
    struct leaf *leaf = ctx;
    if (!is_directory && rs_str_eq_c(name, leaf->name))
        leaf->found = true;
    else
        check_odd(leaf->c, leaf->repository, leaf->directory, name, is_directory);
    return true;
}

bool check_leaf(struct check *c, rs_str repository, const char *directory, const char *name)
{
    struct leaf leaf = {c, repository, directory, name, false};
    check_scan(c, repository, directory, visit_leaf, &leaf);
    return leaf.found;
}

bool check_digest_name(struct check *c, rs_str repository, const char *directory, enum rs_hash_alg alg, rs_str name,
                       bool is_directory, struct rs_digest *out)
{
    char text[RS_DIGEST_TEXT_MAX + NAME_MAX];
    snprintf(text, sizeof text, "%s:" RS_STR_FMT, rs_hash_name(alg), RS_STR_ARG(name));
    if (is_directory && rs_digest_parse(rs_str_c(text), out, NULL) == RS_OK)
        return true;
    check_odd(c, repository, directory, name, is_directory);
    return false;
}

struct algorithms {
    struct check *c;
    rs_str repository;
    const char *path;
    unsigned found; /* a bit each */
};

static bool visit_algorithm(void *ctx, rs_str name, bool is_directory)
{
    struct algorithms *a = ctx;
    enum rs_hash_alg alg;
    if (is_directory && rs_digest_algorithm(name, &alg))
        a->found |= 1u << alg;
    else
        check_odd(a->c, a->repository, a->path, name, is_directory);
    return true;
}

void check_algorithms(struct check *c, rs_str repository, const char *path, check_algorithm *each, void *ctx)
{
    struct algorithms a = {c, repository, path, 0};
    check_scan(c, repository, path, visit_algorithm, &a);
    for (int alg = 0; alg < RS_HASH_ALGS; alg++)
        if ((a.found & 1u << alg) != 0 && check_goes_on(c))
            each(ctx, (enum rs_hash_alg)alg);
}
