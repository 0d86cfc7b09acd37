/* SPDX-License-Identifier: Apache-2.0 */
#include "collected.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

/* Of a manifest, as a descriptor has to tell it. */
static size_t size_of(struct fixture *f, const struct rs_digest *manifest)
{
    RS_AUTO(rs_free_ptr) char *bytes = fixture_read(f, data_path(manifest));
    return strlen(bytes);
}

void collected_release(struct collected *c)
{
    rs_buf_release(&c->told);
}

static bool goes_on(void *ctx)
{
    struct collected *c = ctx;
    return c->stop_after == 0 || ++c->steps < c->stop_after;
}

static void tell(void *ctx, const struct rs_collect_told *told)
{
    static const char *const kinds[] = {"manifest", "link", "blob"};
    struct collected *c = ctx;
    if (told->event == RS_COLLECT_PLANNED && c->stop_when_planned)
        c->stop_after = 1;
    if (told->event == RS_COLLECT_ELIGIBLE)
        rs_buf_printf(&c->told, "%s %s\n", kinds[told->kind], told->digest->text);
}

void collect(struct fixture *f, const char *flags, struct collected *c)
{
    const struct rs_collect_options options = {
        .dry_run = strchr(flags, 'd') != NULL,
        .delete_untagged = strchr(flags, 'm') != NULL,
        .alone = strchr(flags, 'a') != NULL,
        .list = true,
        .grace_s = FIXTURE_GRACE_S,
        .goes_on = goes_on,
        .tell = tell,
        .ctx = c,
    };
    rs_buf_release(&c->told);
    rs_buf_init(&c->told, 1 << 20);
    c->steps = 0;
    c->rc = rs_collect(f->storage, f->registry, f->state, &options, &c->report, &c->err);
}

void collect_all(struct fixture *f, const char *flags, struct collected *c)
{
    collect(f, flags, c);
    if (c->rc != RS_OK)
        fail_msg("%s", c->err.text);
    assert_true(c->report.complete);
}

void all_is_old(struct fixture *f)
{
    char command[200];
    snprintf(command, sizeof command, "find %s/docker -exec touch -h -d '2 days ago' {} +", f->root);
    assert_int_equal(system(command), 0);
}

const char *removed(const struct collected *c)
{
    static char text[80];
    const uint64_t *n = c->report.removed;
    snprintf(text, sizeof text, "%u %u %u", (unsigned)n[RS_REMOVE_MANIFEST], (unsigned)n[RS_REMOVE_LINK],
             (unsigned)n[RS_REMOVE_BLOB]);
    return text;
}

bool has_data(struct fixture *f, const struct rs_digest *blob)
{
    return fixture_exists(f, data_path(blob));
}

bool has_link(struct fixture *f, const char *repository, const struct rs_digest *blob)
{
    return fixture_exists(f, layer_path(repository, blob));
}

struct needs {
    struct fixture *f;
    const char *repository;
    bool all;
};

static void visit(void *ctx, enum rs_descriptor_role role, const struct rs_digest *digest)
{
    struct needs *n = ctx;
    if (role == RS_ROLE_MANIFEST)
        n->all = n->all && has_image(n->f, n->repository, digest);
    else if (role != RS_ROLE_SUBJECT)
        n->all = n->all && has_data(n->f, digest) && has_link(n->f, n->repository, digest);
}

bool has_image(struct fixture *f, const char *repository, const struct rs_digest *manifest)
{
    struct needs n = {f, repository, true};
    if (!fixture_exists(f, revision_path(repository, manifest)))
        return false;
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    RS_AUTO(rs_free_ptr) char *bytes = fixture_read(f, data_path(manifest));
    assert_ok(f, rs_manifest_needs(rs_str_c(bytes), arena, visit, &n, &f->err));
    if (!n.all)
        fail_msg("%s is there, and not all that it needs", manifest->text);
    return true;
}

struct rs_digest push_index(struct fixture *f, const char *repository, const char *tag,
                            const struct rs_digest *const *children, size_t count, const struct rs_digest *subject)
{
    RS_AUTO(rs_buf_release) struct rs_buf json;
    struct rs_digest digest;
    rs_buf_init(&json, 1 << 20);
    rs_buf_printf(&json, "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":[");
    for (size_t i = 0; i < count; i++)
        rs_buf_printf(&json, "%s{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}",
                      i > 0 ? "," : "", children[i]->text, size_of(f, children[i]));
    rs_buf_add_c(&json, "]");
    if (subject != NULL)
        rs_buf_printf(&json, ",\"subject\":{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":1}",
                      subject->text);
    rs_buf_add_c(&json, "}");
    const char *z = rs_buf_z(&json);
    digest = digest_of(z);
    assert_ok(f, try_put(f, repository, tag != NULL ? tag : digest.text, z, NULL));
    return digest;
}

struct rs_digest push_untagged(struct fixture *f, const char *repository, const char *config, const char *layer)
{
    push_text(f, repository, config);
    push_text(f, repository, layer);
    RS_AUTO(rs_free_ptr) char *json = image_json(config, &layer, 1);
    struct rs_digest digest = digest_of(json);
    assert_ok(f, try_put(f, repository, digest.text, json, NULL));
    return digest;
}

struct rs_digest push_referrer(struct fixture *f, const char *repository, const char *tag, const char *config,
                               const struct rs_digest *subject)
{
    struct rs_digest blob = push_text(f, repository, config);
    char json[1024];
    snprintf(json, sizeof json,
             "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"config\":{\"mediaType\":\"x/y\","
             "\"digest\":\"%s\",\"size\":%zu},\"layers\":[],\"subject\":{\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST
             "\",\"digest\":\"%s\",\"size\":1}}",
             blob.text, strlen(config), subject->text);
    struct rs_digest digest = digest_of(json);
    assert_ok(f, try_put(f, repository, tag != NULL ? tag : digest.text, json, NULL));
    return digest;
}

struct rs_digest store_manifest(struct fixture *f, const char *repository, const char *bytes)
{
    struct rs_digest digest = digest_of(bytes);
    fixture_write_c(f, data_path(&digest), bytes);
    fixture_write_c(f, revision_path(repository, &digest), digest.text);
    return digest;
}
