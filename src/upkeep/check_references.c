/* SPDX-License-Identifier: Apache-2.0 */
/* What a manifest needs, and whether its repository has it. */
#include "layout/link.h"
#include "registry/blob.h"
#include "upkeep/check_priv.h"

struct references {
    struct repository *r;
    const struct rs_digest *manifest;
    const struct rs_descriptor *d;
    const char *link; /* the path */
};

static bool is_there(struct check *c, const char *path)
{
    struct rs_storage_stat st;
    return rs_storage_stat(c->storage, path, &st, NULL) != RS_E_NOT_FOUND;
}

static bool has_data(struct check *c, const struct rs_digest *digest)
{
    struct rs_path path;
    return is_there(c, rs_path_blob(&path, digest));
}

/* Somebody may have deleted it, and then what it needs. */
static bool manifest_is_there(const struct references *ref)
{
    struct rs_path path;
    return is_there(ref->r->c, rs_path_revision_link(&path, ref->r->name, ref->manifest));
}

static void tell(const struct references *ref, enum rs_finding_kind kind, const char *what)
{
    RS_AUTO(rs_buf_release) struct rs_buf text;
    struct repository *r = ref->r;
    struct rs_err err = {0};
    rs_buf_init(&text, CHECK_TEXT_MAX);
    rs_buf_printf(&text, "the %s that manifest %s needs %s; ", rs_descriptor_role_name(ref->d->role),
                  ref->manifest->text, what);
    check_tags_of(r, ref->manifest, &text);
    struct rs_finding f = {
        .kind = kind,
        .repository = r->name,
        .subject = rs_digest_str(&ref->d->digest),
        .path = rs_str_c(ref->link),
        .what = rs_str_c(rs_buf_z(&text)),
        .action = RS_STR("it has to be pushed again"),
    };
    if (kind != RS_FINDING_MISSING_LINK) {
        check_tell(r->c, &f);
        return;
    }
    rs_rc rc = RS_OK;
    if (r->c->config->repair)
        rc = rs_blob_mount_any(r->c->config->registry, r->name, &ref->d->digest, &err);
    if (rc == RS_OK)
        check_seen_linked(r->c->seen, &ref->d->digest);
    check_tell_repair(r->c, &f, "would write its link", "wrote its link", rc, &err);
}

static void tell_no_link(const struct references *ref)
{
    struct check *c = ref->r->c;
    const struct rs_digest *digest = &ref->d->digest;
    if (!manifest_is_there(ref) || is_there(c, ref->link))
        return;
    if (!has_data(c, digest))
        tell(ref, RS_FINDING_MISSING_BLOB, "is not in the registry");
    else if (check_is_whole(c, digest))
        tell(ref, RS_FINDING_MISSING_LINK, "is in the registry, but not linked in the repository");
    else if (check_goes_on(c))
        tell(ref, RS_FINDING_MISSING_BLOB, "is corrupt, and not linked in the repository");
}

static void look_at_data(const struct references *ref, const struct rs_digest *target)
{
    struct check *c = ref->r->c;
    struct check_dangling *dangling = check_find_dangling(ref->r, &ref->d->digest);
    if (dangling != NULL)
        dangling->needed = true;
    if (!has_data(c, target) && manifest_is_there(ref) && !has_data(c, target))
        tell(ref, RS_FINDING_MISSING_BLOB, "is not in the registry");
    else if (check_seen_is_corrupt(c->seen, target) && manifest_is_there(ref))
        tell(ref, RS_FINDING_MISSING_BLOB, "is corrupt");
}

/* Its link may be broken: that was told, or it has been written anew; what it must hold is known. */
static void look_at_blob(struct references *ref)
{
    struct rs_path path;
    struct rs_digest target;
    struct rs_err err;
    ref->link = rs_path_layer_link(&path, ref->r->name, &ref->d->digest);
    rs_rc rc = rs_link_follow(ref->r->c->storage, path.z, &ref->d->digest, &target, &err);
    if (rc == RS_E_CORRUPT)
        target = ref->d->digest;
    if (rc == RS_OK || rc == RS_E_CORRUPT)
        look_at_data(ref, &target);
    else if (rc == RS_E_NOT_FOUND)
        tell_no_link(ref);
    else
        check_failed(ref->r->c, ref->r->name, path.z, rc, &err);
}

/* An index may be sparse, and it may list blobs (the cache of BuildKit is one). Whether a child is whole is told when
 * its own link is looked at. */
static void look_at_child(struct references *ref)
{
    struct rs_path revision, layer;
    rs_path_layer_link(&layer, ref->r->name, &ref->d->digest);
    ref->link = rs_path_revision_link(&revision, ref->r->name, &ref->d->digest);
    if (is_there(ref->r->c, revision.z))
        return;
    if (is_there(ref->r->c, layer.z))
        look_at_blob(ref);
    else if (manifest_is_there(ref))
        tell(ref, RS_FINDING_MISSING_CHILD, "is not in the repository");
}

void check_references(struct repository *r, const struct rs_digest *digest, const struct rs_manifest *manifest)
{
    for (size_t i = 0; i < manifest->descriptor_count && check_goes_on(r->c); i++) {
        struct references ref = {.r = r, .manifest = digest, .d = &manifest->descriptors[i]};
        if (ref.d->role == RS_ROLE_MANIFEST)
            look_at_child(&ref);
        else if (!ref.d->foreign)
            look_at_blob(&ref);
    }
}
