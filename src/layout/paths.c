/* SPDX-License-Identifier: Apache-2.0 */
#include "layout/paths.h"

#define ROOT "/docker/registry/v2"
#define OWN "/roadstead/v1"

static void add(struct rs_path *p, rs_str s)
{
    RS_ASSERT(s.len < sizeof p->z - p->len);
    if (s.len > 0)
        memcpy(p->z + p->len, s.ptr, s.len);
    p->len += s.len;
    p->z[p->len] = '\0';
}

/* "/sha256/<hex>" */
static void add_digest(struct rs_path *p, const struct rs_digest *digest)
{
    add(p, RS_STR("/"));
    add(p, rs_str_c(rs_hash_name(digest->alg)));
    add(p, RS_STR("/"));
    add(p, rs_str_c(rs_digest_hex(digest)));
}

static void start(struct rs_path *p, rs_str name, rs_str rest)
{
    p->len = 0;
    add(p, RS_STR(ROOT "/repositories"));
    if (name.len > 0)
        add(p, RS_STR("/"));
    add(p, name);
    add(p, rest);
}

static const char *finish(struct rs_path *p, rs_str rest)
{
    add(p, rest);
    return p->z;
}

const char *rs_path_blobs(struct rs_path *p, enum rs_hash_alg alg, rs_str prefix)
{
    p->len = 0;
    add(p, RS_STR(ROOT "/blobs/"));
    add(p, rs_str_c(rs_hash_name(alg)));
    add(p, prefix.len > 0 ? RS_STR("/") : prefix);
    return finish(p, prefix);
}

const char *rs_path_blob(struct rs_path *p, const struct rs_digest *digest)
{
    rs_str hex = rs_str_c(rs_digest_hex(digest));
    p->len = 0;
    add(p, RS_STR(ROOT "/blobs/"));
    add(p, rs_str_c(rs_hash_name(digest->alg)));
    add(p, RS_STR("/"));
    add(p, rs_str_sub(hex, 0, 2));
    add(p, RS_STR("/"));
    add(p, hex);
    return finish(p, RS_STR("/data"));
}

const char *rs_path_repository(struct rs_path *p, rs_str name)
{
    start(p, name, RS_STR(""));
    return p->z;
}

const char *rs_path_parent(struct rs_path *p)
{
    char *slash = strrchr(p->z, '/');
    RS_ASSERT(slash != NULL && slash != p->z);
    *slash = '\0';
    p->len = (size_t)(slash - p->z);
    return p->z;
}

const char *rs_path_layers(struct rs_path *p, rs_str name)
{
    start(p, name, RS_STR("/_layers"));
    return p->z;
}

const char *rs_path_layer_links(struct rs_path *p, rs_str name, enum rs_hash_alg alg)
{
    start(p, name, RS_STR("/_layers/"));
    return finish(p, rs_str_c(rs_hash_name(alg)));
}

const char *rs_path_layer_link(struct rs_path *p, rs_str name, const struct rs_digest *digest)
{
    start(p, name, RS_STR("/_layers"));
    add_digest(p, digest);
    return finish(p, RS_STR("/link"));
}

const char *rs_path_manifests(struct rs_path *p, rs_str name)
{
    start(p, name, RS_STR("/_manifests"));
    return p->z;
}

const char *rs_path_revisions(struct rs_path *p, rs_str name, enum rs_hash_alg alg)
{
    start(p, name, RS_STR("/_manifests/revisions/"));
    return finish(p, rs_str_c(rs_hash_name(alg)));
}

const char *rs_path_revision(struct rs_path *p, rs_str name, const struct rs_digest *digest)
{
    start(p, name, RS_STR("/_manifests/revisions"));
    add_digest(p, digest);
    return p->z;
}

const char *rs_path_revision_link(struct rs_path *p, rs_str name, const struct rs_digest *digest)
{
    rs_path_revision(p, name, digest);
    return finish(p, RS_STR("/link"));
}

const char *rs_path_referrers(struct rs_path *p, rs_str name, enum rs_hash_alg alg)
{
    start(p, name, RS_STR("/_roadstead/referrers/"));
    return finish(p, rs_str_c(rs_hash_name(alg)));
}

const char *rs_path_tags(struct rs_path *p, rs_str name)
{
    start(p, name, RS_STR("/_manifests/tags"));
    return p->z;
}

const char *rs_path_tag_current(struct rs_path *p, rs_str name, rs_str tag)
{
    start(p, name, RS_STR("/_manifests/tags/"));
    add(p, tag);
    return finish(p, RS_STR("/current/link"));
}

const char *rs_path_tag_indexes(struct rs_path *p, rs_str name, rs_str tag, enum rs_hash_alg alg)
{
    start(p, name, RS_STR("/_manifests/tags/"));
    add(p, tag);
    add(p, RS_STR("/index/"));
    return finish(p, rs_str_c(rs_hash_name(alg)));
}

const char *rs_path_tag_index(struct rs_path *p, rs_str name, rs_str tag, const struct rs_digest *digest)
{
    rs_path_tag_indexes(p, name, tag, digest->alg);
    add(p, RS_STR("/"));
    add(p, rs_str_c(rs_digest_hex(digest)));
    return finish(p, RS_STR("/link"));
}

const char *rs_path_uploads(struct rs_path *p, rs_str name)
{
    start(p, name, RS_STR("/_uploads"));
    return p->z;
}

const char *rs_path_upload(struct rs_path *p, rs_str name, rs_str uuid)
{
    start(p, name, RS_STR("/_uploads/"));
    return finish(p, uuid);
}

const char *rs_path_upload_data(struct rs_path *p, rs_str name, rs_str uuid)
{
    rs_path_upload(p, name, uuid);
    return finish(p, RS_STR("/data"));
}

const char *rs_path_upload_startedat(struct rs_path *p, rs_str name, rs_str uuid)
{
    rs_path_upload(p, name, uuid);
    return finish(p, RS_STR("/startedat"));
}

const char *rs_path_upload_algorithm(struct rs_path *p, rs_str name, rs_str uuid)
{
    rs_path_upload(p, name, uuid);
    return finish(p, RS_STR("/digest-algorithm"));
}

const char *rs_path_all_hashstates(struct rs_path *p, rs_str name, rs_str uuid)
{
    rs_path_upload(p, name, uuid);
    return finish(p, RS_STR("/hashstates"));
}

const char *rs_path_hashstates(struct rs_path *p, rs_str name, rs_str uuid, enum rs_hash_alg alg)
{
    rs_path_all_hashstates(p, name, uuid);
    add(p, RS_STR("/"));
    return finish(p, rs_str_c(rs_hash_name(alg)));
}

const char *rs_path_hashstate(struct rs_path *p, rs_str name, rs_str uuid, enum rs_hash_alg alg, uint64_t offset)
{
    char number[32];
    snprintf(number, sizeof number, "/%llu", (unsigned long long)offset);
    rs_path_hashstates(p, name, uuid, alg);
    return finish(p, rs_str_c(number));
}

/* --- ours, for the whole storage --- */

static const char *own(struct rs_path *p, rs_str place, rs_str rest)
{
    p->len = 0;
    add(p, RS_STR(OWN "/"));
    add(p, place);
    add(p, rest.len > 0 ? RS_STR("/") : rest);
    return finish(p, rest);
}

const char *rs_path_tombstones(struct rs_path *p)
{
    return own(p, RS_STR("tombstones"), (rs_str){NULL, 0});
}

const char *rs_path_collector(struct rs_path *p, rs_str file)
{
    return own(p, RS_STR("collector"), file);
}

const char *rs_path_servers(struct rs_path *p)
{
    return own(p, RS_STR("servers"), (rs_str){NULL, 0});
}

const char *rs_path_server(struct rs_path *p, rs_str uuid)
{
    return own(p, RS_STR("servers"), uuid);
}

const char *rs_path_quarantine(struct rs_path *p, rs_str rest)
{
    return own(p, RS_STR("quarantine"), rest);
}

const char *rs_path_pulled(struct rs_path *p, rs_str name, enum rs_hash_alg alg)
{
    start(p, name, RS_STR("/_roadstead/pulled/"));
    return finish(p, rs_str_c(rs_hash_name(alg)));
}

const char *rs_path_pulled_since(struct rs_path *p, rs_str name)
{
    start(p, name, RS_STR("/_roadstead/pulled/since"));
    return p->z;
}

const char *rs_path_pulled_at(struct rs_path *p, rs_str name, const struct rs_digest *digest)
{
    start(p, name, RS_STR("/_roadstead/pulled"));
    add_digest(p, digest);
    return p->z;
}
