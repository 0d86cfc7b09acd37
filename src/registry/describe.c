/* SPDX-License-Identifier: Apache-2.0 */
/* What people want to know of an image: from its manifest, its config, and the manifests that an index names. */
#include "layout/paths.h"
#include "oci/image_config.h"
#include "registry/manifest.h"
#include "registry/registry_priv.h"

#define CONFIG_MAX (1024 * 1024) /* a larger one is not looked at */
#define CHILDREN_MAX 64          /* of an index: further ones do not count, … */
#define READ_MAX RS_MANIFEST_MAX /* … nor those behind so many bytes of manifests and configs: they take their time */

struct describing {
    struct rs_registry *registry;
    rs_str repository;
    struct rs_arena *arena;   /* for what is told */
    struct rs_arena *parsing; /* for one manifest */
    struct rs_image_summary *out;
    rs_str *platforms;
    size_t read; /* bytes of the index's manifests, and of configs */
};

static void add_platform(struct describing *d, rs_str platform)
{
    if (platform.len == 0 || d->out->platform_count == CHILDREN_MAX)
        return;
    for (size_t i = 0; i < d->out->platform_count; i++)
        if (rs_str_eq(d->platforms[i], platform))
            return;
    d->platforms[d->out->platform_count++] = platform;
}

/* The config says for which platform an image is; an artifact's says nothing. */
static void add_config(struct describing *d, const struct rs_descriptor *config)
{
    struct rs_path path;
    RS_AUTO(rs_buf_release) struct rs_buf bytes;
    if (config->size > CONFIG_MAX)
        return;
    rs_buf_init(&bytes, CONFIG_MAX);
    if (rs_storage_read(d->registry->storage, rs_path_blob(&path, &config->digest), &bytes, NULL) != RS_OK)
        return;
    d->read += bytes.len;
    add_platform(d, rs_image_config_platform(rs_buf_str(&bytes), d->arena));
}

static void add_image(struct describing *d, const struct rs_manifest *image)
{
    for (size_t i = 0; i < image->descriptor_count; i++) {
        d->out->size += image->descriptors[i].size;
        if (image->descriptors[i].role == RS_ROLE_CONFIG)
            add_config(d, &image->descriptors[i]);
    }
}

/* The manifest itself, and what it names. Nested indexes count as the manifests that they are. */
static rs_rc add_manifest(struct describing *d, const struct rs_reference *reference, bool is_child,
                          struct rs_err *err);

static void add_index(struct describing *d, const struct rs_manifest *index)
{
    struct rs_digest children[CHILDREN_MAX]; /* a child's parsing takes the place of the index's */
    size_t count = RS_MIN(index->descriptor_count, CHILDREN_MAX);
    for (size_t i = 0; i < count; i++)
        children[i] = index->descriptors[i].digest;
    for (size_t i = 0; i < count && d->read < READ_MAX; i++) {
        const struct rs_reference child = {.is_digest = true, .digest = children[i]};
        add_manifest(d, &child, true, NULL); /* not here: it takes no place here either */
    }
}

/* What stands for the artifact's type of every ordinary image. */
static bool is_image_config(rs_str type)
{
    return rs_str_eq(type, RS_STR("application/vnd.oci.image.config.v1+json")) ||
           rs_str_eq(type, RS_STR("application/vnd.docker.container.image.v1+json"));
}

static rs_rc parse_doc(struct describing *d, const struct rs_manifest_doc *doc, bool is_child, struct rs_err *err)
{
    struct rs_manifest manifest;
    d->out->size += doc->bytes.len;
    d->read += is_child ? doc->bytes.len : 0;
    if (!is_child) {
        d->out->digest = doc->digest;
        d->out->media_type = rs_arena_copy(d->arena, doc->media_type);
    }
    rs_arena_reset(d->parsing);
    RS_TRY(rs_manifest_parse(doc->bytes, doc->media_type, d->parsing, &manifest, err));
    if (!is_child && !is_image_config(manifest.artifact_type))
        d->out->artifact_type = rs_arena_copy(d->arena, manifest.artifact_type);
    if (manifest.kind == RS_MANIFEST_IMAGE)
        add_image(d, &manifest);
    else if (manifest.kind == RS_MANIFEST_INDEX && !is_child)
        add_index(d, &manifest);
    return RS_OK;
}

static rs_rc add_manifest(struct describing *d, const struct rs_reference *reference, bool is_child, struct rs_err *err)
{
    const struct rs_manifest_doc *doc = NULL;
    RS_TRY(rs_manifest_get(d->registry, d->repository, reference, &doc, err));
    rs_rc rc = parse_doc(d, doc, is_child, err);
    rs_manifest_doc_unref(&doc);
    return rc;
}

rs_rc rs_image_describe(struct rs_registry *registry, rs_str repository, rs_str tag, struct rs_arena *arena,
                        struct rs_image_summary *out, struct rs_err *err)
{
    struct rs_path path;
    struct rs_storage_stat st;
    const struct rs_reference reference = {.tag = tag};
    rs_str *platforms = rs_arena_alloc(arena, CHILDREN_MAX * sizeof *platforms);
    RS_AUTO(rs_arena_free) struct rs_arena *parsing = rs_arena_new();
    struct describing d = {registry, repository, arena, parsing, out, platforms, 0};
    *out = (struct rs_image_summary){.platforms = platforms};
    RS_TRY(add_manifest(&d, &reference, false, err));
    rs_path_tag_current(&path, repository, tag);
    RS_TRY(rs_storage_stat(registry->storage, path.z, &st, err));
    out->pushed_s = st.mtime_s;
    return RS_OK;
}
