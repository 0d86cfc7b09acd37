/* SPDX-License-Identifier: Apache-2.0 */
/* Each thing that a check finds, what a repair does about it, and that the next one finds nothing more. */
#include "checked.h"

#include <stdio.h>

#include "base/mem.h"
#include "layout/paths.h"
#include "metrics/metrics.h"

#define CHECK(c, flags)                                                                                                \
    RS_AUTO(checked_release) struct checked c = {0};                                                                   \
    check_storage(f, flags, &c)

/* A line of what is told. */
static const char *line(const char *format, ...) RS_PRINTF(1, 2);
static const char *line(const char *format, ...)
{
    static char lines[8][512];
    static unsigned next;
    char *out = lines[next++ % 8];
    va_list args;
    va_start(args, format);
    vsnprintf(out, sizeof lines[0], format, args);
    va_end(args);
    return out;
}

static bool says(const struct checked *c, const char *text)
{
    RS_AUTO(rs_free_ptr) char *full = rs_str_dup(rs_buf_str(&c->full));
    bool found = strstr(full, text) != NULL;
    if (!found)
        print_error("told was\n%s", full);
    return found;
}

/* How many files lie below a directory of the quarantine, notes too. */
static bool count_file(void *ctx, rs_str name, bool is_directory)
{
    (void)name;
    *(unsigned *)ctx += !is_directory;
    return true;
}

static unsigned quarantined(struct fixture *f, const char *group)
{
    struct rs_path path;
    unsigned n = 0;
    rs_storage_scan(f->storage, rs_path_quarantine(&path, rs_str_c(group)), count_file, &n, NULL);
    return n;
}

static void assert_nothing_more(struct fixture *f)
{
    CHECK(again, "r");
    assert_told(&again, "");
    assert_int_equal(again.counts.errors + again.counts.warnings + again.counts.mended, 0);
}

/* --- what is whole --- */

static void test_nothing_is_found_where_all_is_well(void **state)
{
    struct fixture *f = *state;
    struct rs_digest sha512;
    push_image(f, "library/app", "v1", "config", "layer");
    push_image(f, "library/app", "v2", "config", "layer 2");
    push_image(f, "library/app/below", "v1", "config", "layer");
    rs_digest_of(RS_SHA512, "x", 1, &sha512);
    assert_ok(f, try_push(f, "other", RS_STR("x"), &sha512));
    push_text(f, "other", "");
    CHECK(c, "");
    assert_told(&c, "");
    assert_true(c.counts.complete);
    assert_int_equal(c.counts.blobs, 5 + 2); /* the third manifest is the first one */
    assert_int_equal(c.counts.hashed_blobs, c.counts.blobs);
    assert_int_equal(c.counts.hashed_bytes, c.counts.blob_bytes);
    assert_int_equal(c.counts.repositories, 3);
    assert_int_equal(c.counts.manifests, 3);
    assert_int_equal(c.counts.tags, 3);
    assert_int_equal(c.counts.layer_links, 3 + 2 + 2);
    assert_true(c.counts.unlinked_known);
    assert_int_equal(c.counts.unlinked_blobs, 0);
    assert_nothing_more(f);
}

static void test_an_empty_storage(void **state)
{
    struct fixture *f = *state;
    CHECK(c, "r");
    assert_told(&c, "");
}

static void test_what_a_collection_would_free_is_no_fault(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = push_text(f, "r", "abandoned");
    push_image(f, "r", "v1", "config", "layer");
    assert_ok(f, rs_blob_unlink(f->registry, RS_STR("r"), &digest, &f->err));
    CHECK(c, "");
    assert_told(&c, "");
    assert_true(c.counts.unlinked_known);
    assert_int_equal(c.counts.unlinked_blobs, 1);
    assert_int_equal(c.counts.unlinked_bytes, strlen("abandoned"));
}

/* --- blobs --- */

static void damage(struct fixture *f, const char *bytes)
{
    struct rs_digest layer = digest_of("layer"), manifest = push_image(f, "r", "v1", "config", "layer");
    fixture_write_c(f, data_path(&layer), bytes);
    make_old(f, data_path(&layer));
    CHECK(c, "");
    assert_told(&c, line("corrupt-blob repairable  %s", layer.text), line("missing-blob stays r %s", layer.text));
    assert_true(says(&c, manifest.text));
    assert_true(says(&c, "tags that point to it: v1;"));
    assert_int_equal(c.counts.errors, 2);
    assert_true(fixture_exists(f, data_path(&layer)));

    CHECK(repair, "r");
    assert_told(&repair, line("corrupt-blob mended  %s", layer.text), line("missing-blob stays r %s", layer.text));
    assert_int_equal(repair.counts.mended, 1);
    assert_false(fixture_exists(f, data_path(&layer)));
    assert_int_equal(quarantined(f, "sha256"), 2);

    push_text(f, "r", "layer"); /* which makes it whole again */
    assert_nothing_more(f);
}

static void test_a_blob_of_other_bytes(void **state)
{
    damage(*state, "LAYER");
}

static void test_a_blob_that_is_cut(void **state)
{
    damage(*state, "lay");
}

static void test_a_blob_that_is_empty(void **state)
{
    damage(*state, "");
}

static void test_what_is_set_aside_is_explained(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = push_text(f, "r", "layer");
    fixture_write_c(f, data_path(&digest), "LAYER");
    make_old(f, data_path(&digest));
    make_old(f, layer_path("r", &digest));
    CHECK(c, "r");
    RS_AUTO(rs_free_ptr) char *tree = fixture_tree(f);
    const char *aside = strstr(tree, "roadstead/v1/quarantine/sha256/");
    assert_non_null(aside);
    assert_non_null(strstr(aside, "=LAYER\n"));
    assert_non_null(strstr(aside, "was:  /docker/registry/v2/blobs/sha256/"));
    assert_non_null(strstr(aside, "why:  its 5 bytes have the digest sha256:"));
}

static void test_without_hashes_only_manifests_are_read(void **state)
{
    struct fixture *f = *state;
    struct rs_digest layer = digest_of("layer"), manifest = push_image(f, "r", "v1", "config", "layer");
    fixture_write_c(f, data_path(&layer), "LAYER");
    CHECK(c, "n");
    assert_told(&c, "");
    assert_int_equal(c.counts.hashed_blobs, 0);
    fixture_write_c(f, data_path(&manifest), "{}");
    make_old(f, data_path(&manifest));
    CHECK(again, "n");
    assert_told(&again, line("corrupt-blob repairable  %s", manifest.text),
                line("missing-manifest repairable r %s", manifest.text));
    CHECK(repair, "nr");
    assert_told(&repair, line("corrupt-blob mended  %s", manifest.text),
                line("missing-manifest mended r %s", manifest.text), "broken-tag mended r v1");
    assert_int_equal(quarantined(f, "sha256"), 2);
}

static void test_a_blob_of_sha512(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest;
    rs_digest_of(RS_SHA512, "x", 1, &digest);
    assert_ok(f, try_push(f, "r", RS_STR("x"), &digest));
    fixture_write_c(f, data_path(&digest), "y");
    make_old(f, data_path(&digest));
    make_old(f, layer_path("r", &digest));
    make_old(f, "repositories/r/_layers");
    CHECK(c, "r");
    assert_told(&c, line("corrupt-blob mended  %s", digest.text), line("dangling-link mended r %s", digest.text),
                "ghost-repository mended r ");
    assert_int_equal(quarantined(f, "sha512"), 2);
    assert_nothing_more(f);
}

/* --- links --- */

static void test_a_blob_that_is_gone(void **state)
{
    struct fixture *f = *state;
    struct rs_digest layer = digest_of("layer"), first = push_image(f, "r", "v1", "config", "layer");
    push_image(f, "r", "v2", "other config", "layer");
    push_text(f, "r", "unneeded");
    struct rs_digest unneeded = digest_of("unneeded");
    fixture_remove(f, data_path(&layer));
    fixture_remove(f, data_path(&unneeded));
    CHECK(young, "r");
    assert_told(&young, line("missing-blob stays r %s", layer.text), line("missing-blob stays r %s", layer.text));
    make_old(f, layer_path("r", &unneeded));
    make_old(f, layer_path("r", &layer));
    CHECK(c, "");
    assert_told(&c, line("missing-blob stays r %s", layer.text), line("missing-blob stays r %s", layer.text),
                line("dangling-link repairable r %s", unneeded.text));
    assert_true(says(&c, first.text));
    CHECK(repair, "r");
    assert_told(&repair, line("missing-blob stays r %s", layer.text), line("missing-blob stays r %s", layer.text),
                line("dangling-link mended r %s", unneeded.text));
    assert_true(fixture_exists(f, layer_path("r", &layer)));
    assert_false(fixture_exists(f, layer_path("r", &unneeded)));
    push_text(f, "r", "layer");
    assert_nothing_more(f);
}

static void test_a_link_that_is_gone(void **state)
{
    struct fixture *f = *state;
    struct rs_digest layer = digest_of("layer"), config = digest_of("config");
    push_image(f, "r", "v1", "config", "layer");
    fixture_remove(f, layer_path("r", &layer));
    CHECK(c, "");
    assert_told(&c, line("missing-link repairable r %s", layer.text));
    CHECK(repair, "r");
    assert_told(&repair, line("missing-link mended r %s", layer.text));
    RS_AUTO(rs_free_ptr) char *text = blob_text(f, "r", &layer);
    assert_string_equal(text, "layer");
    assert_nothing_more(f);

    fixture_remove(f, layer_path("r", &config)); /* not where the data is not whole */
    fixture_write_c(f, data_path(&config), "CONFIG");
    CHECK(corrupt, "n");
    assert_told(&corrupt, line("missing-blob stays r %s", config.text));
}

static void test_links_that_hold_no_digest(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"",
                                        "sha256:", "nonsense that is as long as a digest would be, or longer than that",
                                        "sha256:0000000000000000000000000000000000000000000000000000000000000000"};
    struct rs_digest layer = digest_of("layer"), manifest = push_image(f, "r", "v1", "config", "layer");
    for (size_t i = 0; i < RS_COUNT(texts); i++) {
        fixture_write_c(f, layer_path("r", &layer), texts[i]);
        fixture_write_c(f, revision_path("r", &manifest), texts[i]);
        make_old(f, layer_path("r", &layer));
        make_old(f, revision_path("r", &manifest));
        CHECK(c, "");
        assert_told(&c, line("broken-link repairable r %s", layer.text),
                    line("broken-link repairable r %s", manifest.text));
        CHECK(repair, "r");
        assert_told(&repair, line("broken-link mended r %s", layer.text),
                    line("broken-link mended r %s", manifest.text));
        RS_AUTO(rs_free_ptr) char *held = fixture_read(f, layer_path("r", &layer));
        assert_string_equal(held, layer.text);
        RS_AUTO(rs_free_ptr) char *revision = fixture_read(f, revision_path("r", &manifest));
        assert_string_equal(revision, manifest.text);
        assert_nothing_more(f);
    }
}

static void test_a_broken_link_of_a_blob_that_is_gone(void **state)
{
    struct fixture *f = *state;
    struct rs_digest blob = push_text(f, "r", "blob");
    push_image(f, "r", "v1", "config", "layer");
    fixture_write_c(f, layer_path("r", &blob), "?");
    fixture_remove(f, data_path(&blob));
    make_old(f, layer_path("r", &blob));
    CHECK(c, "r");
    assert_told(&c, line("broken-link mended r %s", blob.text));
    assert_int_equal(quarantined(f, "links"), 2);
    assert_nothing_more(f);
}

static void test_an_alias_of_registry_2_is_fine(void **state)
{
    struct fixture *f = *state;
    struct rs_digest alias, digest = push_text(f, "r", "blob");
    rs_digest_of(RS_SHA512, "blob", 4, &alias);
    fixture_write_c(f, layer_path("r", &alias), digest.text);
    CHECK(c, "r");
    assert_told(&c, "");
    assert_int_equal(c.counts.unlinked_blobs, 0);
}

/* --- manifests --- */

static void test_a_manifest_that_is_gone(void **state)
{
    struct fixture *f = *state;
    struct rs_digest manifest = push_image(f, "r", "v1", "config", "layer");
    push_image(f, "r", "v2", "config", "layer 2");
    RS_AUTO(rs_free_ptr) char *json = image_json("config", (const char *[]){"layer"}, 1);
    assert_ok(f, try_put(f, "r", "also", json, NULL));
    fixture_remove(f, data_path(&manifest));
    CHECK(c, "");
    assert_told(&c, line("missing-manifest repairable r %s", manifest.text));
    assert_true(says(&c, "also"));
    CHECK(repair, "r");
    assert_told(&repair, line("missing-manifest mended r %s", manifest.text), "broken-tag mended r v1",
                "broken-tag mended r also");
    assert_true(says(&repair, manifest.text));
    assert_false(fixture_exists(f, revision_path("r", &manifest)));
    assert_false(fixture_exists(f, "repositories/r/_manifests/tags/v1"));
    assert_int_equal(quarantined(f, "links"), 2);
    assert_int_equal(quarantined(f, "tags"), 2);
    assert_nothing_more(f);
    assert_ok(f, try_put(f, "r", "v1", json, NULL));
    assert_manifest(f, "r", "v1", json);
}

static void test_a_corrupt_manifest(void **state)
{
    struct fixture *f = *state;
    struct rs_digest manifest = push_image(f, "r", "v1", "config", "layer");
    fixture_write_c(f, data_path(&manifest), "{\"schemaVersion\":2");
    make_old(f, data_path(&manifest));
    CHECK(c, "");
    assert_told(&c, line("corrupt-blob repairable  %s", manifest.text),
                line("missing-manifest repairable r %s", manifest.text));
    CHECK(repair, "r");
    assert_told(&repair, line("corrupt-blob mended  %s", manifest.text),
                line("missing-manifest mended r %s", manifest.text), "broken-tag mended r v1");
    assert_int_equal(repair.counts.errors, 0);
    assert_nothing_more(f);
}

static void test_what_is_no_manifest_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct rs_digest text = push_text(f, "r", "no manifest at all"), lost = push_text(f, "r", "lost");
    fixture_write_c(f, revision_path("r", &text), text.text);
    fixture_remove(f, data_path(&lost));
    make_old(f, layer_path("r", &lost)); /* which it might need: so that stays as well */
    CHECK(c, "r");
    assert_told(&c, line("unknown-manifest stays r %s", text.text));
    assert_true(fixture_exists(f, revision_path("r", &text)));
    assert_true(fixture_exists(f, layer_path("r", &lost)));
}

static char *index_json(const struct rs_digest *child, size_t size)
{
    struct rs_buf b;
    rs_buf_init(&b, 4096);
    rs_buf_printf(&b,
                  "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_INDEX "\",\"manifests\":[{\"mediaType\":"
                  "\"" RS_MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}]}",
                  child->text, size);
    rs_buf_z(&b);
    return b.ptr;
}

static void test_an_index_without_a_child_is_legal(void **state)
{
    struct fixture *f = *state;
    struct rs_digest child = push_image(f, "r", "child", "config", "layer"), index;
    RS_AUTO(rs_free_ptr) char *image = image_json("config", (const char *[]){"layer"}, 1);
    RS_AUTO(rs_free_ptr) char *json = index_json(&child, strlen(image));
    assert_ok(f, try_put(f, "r", "all", json, &index));
    CHECK(whole, "r");
    assert_told(&whole, "");
    assert_ok(f, rs_manifest_delete(f->registry, RS_STR("r"), &child, NULL, NULL, &f->err));
    CHECK(c, "r");
    assert_told(&c, line("missing-child stays r %s", child.text));
    assert_int_equal(c.counts.errors, 0);
    assert_int_equal(c.counts.warnings, 1);
}

/* --- tags --- */

static void test_a_tag_of_a_manifest_that_is_not_linked(void **state)
{
    struct fixture *f = *state;
    RS_AUTO(rs_free_ptr) char *json = image_json("config", (const char *[]){"layer"}, 1);
    struct rs_digest manifest = push_image(f, "r", "v1", "config", "layer"), layer = digest_of("layer");
    fixture_remove(f, revision_path("r", &manifest));
    CHECK(c, "");
    assert_told(&c, "broken-tag repairable r v1");
    CHECK(repair, "r");
    assert_told(&repair, "broken-tag mended r v1");
    assert_manifest(f, "r", "v1", json);
    assert_nothing_more(f);

    fixture_remove(f, revision_path("r", &manifest)); /* not if it could not be pulled then */
    fixture_remove(f, data_path(&layer));
    CHECK(failed, "r");
    assert_told(&failed, "broken-tag failed r v1");
    assert_int_equal(failed.counts.errors, 1);
}

static void test_a_tag_without_a_digest(void **state)
{
    struct fixture *f = *state;
    const char *v1 = "repositories/r/_manifests/tags/v1/current/link";
    const char *v2 = "repositories/r/_manifests/tags/v2/current/link";
    RS_AUTO(rs_free_ptr) char *json = image_json("config", (const char *[]){"layer"}, 1);
    push_image(f, "r", "v2", "config", "first layer");
    push_image(f, "r", "v2", "config", "layer");
    push_image(f, "r", "v1", "config", "layer");
    fixture_write_c(f, v1, "sha256:0123");
    fixture_write_c(f, v2, "");
    make_old(f, v1);
    make_old(f, v2);
    CHECK(c, "");
    assert_told(&c, "broken-tag repairable r v1", "broken-tag repairable r v2");
    CHECK(repair, "r");
    assert_told(&repair, "broken-tag mended r v1", "broken-tag mended r v2");
    assert_manifest(f, "r", "v1", json);                                  /* it had only that one */
    assert_false(fixture_exists(f, "repositories/r/_manifests/tags/v2")); /* which of the two, nobody knows */
    assert_int_equal(quarantined(f, "tags"), 2);
    assert_nothing_more(f);
}

static void test_a_tag_that_was_never_set(void **state)
{
    struct fixture *f = *state;
    struct rs_digest manifest = push_image(f, "r", "v1", "config", "layer");
    char path[512];
    snprintf(path, sizeof path, "repositories/r/_manifests/tags/v2/index/sha256/%s/link", rs_digest_hex(&manifest));
    fixture_write_c(f, path, manifest.text);
    CHECK(young, "r");
    assert_told(&young, "");
    fixture_age(f, "repositories/r/_manifests/tags/v2", 3600);
    CHECK(c, "");
    assert_told(&c, "unfinished-tag repairable r v2");
    CHECK(repair, "r");
    assert_told(&repair, "unfinished-tag mended r v2");
    assert_false(fixture_exists(f, "repositories/r/_manifests/tags/v2"));
    assert_nothing_more(f);
}

/* --- what lies around --- */

static void test_leftovers_of_killed_writes(void **state)
{
    struct fixture *f = *state;
    struct rs_digest layer = digest_of("layer"), manifest = push_image(f, "r", "v1", "config", "layer");
    const char *const places[] = {
        line("%s.0123456789abcdef.tmp", data_path(&layer)),
        line("%s.1b4e28ba-2fa1-11d2-883f-0016d3cca427.tmp", layer_path("r", &layer)),
        line("%s.0123456789abcdef.tmp", revision_path("r", &manifest)),
        "repositories/r/_manifests/tags/v1/current/link.0123456789abcdef.tmp",
        line("repositories/r/_manifests/tags/v1/index/sha256/%s/link.0123456789abcdef.tmp", rs_digest_hex(&manifest)),
    };
    for (size_t i = 0; i < RS_COUNT(places); i++)
        fixture_write_c(f, places[i], "1234");
    CHECK(young, "r");
    assert_told(&young, "");
    for (size_t i = 0; i < RS_COUNT(places); i++)
        fixture_age(f, places[i], 1800);
    CHECK(grace, "rg");
    assert_told(&grace, "");
    CHECK(c, "");
    assert_told(&c, "leftover repairable  ", "leftover repairable r ", "leftover repairable r ",
                "leftover repairable r ", "leftover repairable r ");
    assert_true(says(&c, "left 4 bytes behind"));
    assert_int_equal(c.counts.errors, 0);
    CHECK(repair, "r");
    assert_int_equal(repair.counts.mended, 5);
    for (size_t i = 0; i < RS_COUNT(places); i++)
        assert_false(fixture_exists(f, places[i]));
    assert_nothing_more(f);
}

static void test_what_nobody_knows_is_only_told(void **state)
{
    struct fixture *f = *state;
    push_image(f, "r", "v1", "config", "layer");
    static const char *const places[] = {
        "blobs/README",
        "blobs/md5/ab/abcd/data",
        "blobs/sha256/zz/data",
        "blobs/sha256/ab/abcd/data",
        "blobs/sha256/ab/notes.tmp",
        "repositories/Upper/x",
        "repositories/file",
        "repositories/r/_layers/sha256/short/link",
        "repositories/r/_manifests/tags/.hidden/x",
        "repositories/r/_extra/x",
    };
    for (size_t i = 0; i < RS_COUNT(places); i++) {
        fixture_write_c(f, places[i], "?");
        fixture_age(f, places[i], 7200);
    }
    CHECK(c, "r");
    assert_int_equal(c.counts.findings[RS_FINDING_STRAY], RS_COUNT(places));
    assert_int_equal(c.counts.warnings, RS_COUNT(places));
    for (size_t i = 0; i < RS_COUNT(places); i++)
        assert_true(fixture_exists(f, places[i]));
}

static void make_ghost(struct fixture *f, const char *name)
{
    char path[256];
    struct rs_digest digest = digest_of("x");
    fixture_write_c(f, layer_path(name, &digest), "x");
    fixture_remove(f, layer_path(name, &digest)); /* registry:2 leaves the directories */
    snprintf(path, sizeof path, "repositories/%s/_manifests/tags/x", name);
    fixture_write_c(f, path, "x");
    fixture_remove(f, path);
}

static void age_ghost(struct fixture *f, const char *name)
{
    char path[256];
    static const char *const parts[] = {"", "/_layers", "/_manifests"};
    for (size_t i = 0; i < RS_COUNT(parts); i++) {
        snprintf(path, sizeof path, "repositories/%s%s", name, parts[i]);
        fixture_age(f, path, 7200);
    }
}

static void test_ghosts(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    make_ghost(f, "a/ghost");
    make_ghost(f, "alive");
    push_image(f, "a/whole", "v1", "config", "layer");
    CHECK(young, "r");
    assert_told(&young, "");
    age_ghost(f, "a/ghost");
    assert_ok(f, rs_upload_begin(f->registry, RS_STR("alive"), uuid, &f->err));
    age_ghost(f, "alive");
    CHECK(c, "");
    assert_told(&c, "ghost-repository repairable a/ghost ");
    CHECK(repair, "r");
    assert_told(&repair, "ghost-repository mended a/ghost ");
    assert_false(fixture_exists(f, "repositories/a/ghost"));
    assert_true(fixture_exists(f, "repositories/a/whole"));
    assert_nothing_more(f);
}

static void test_uploads_that_nobody_goes_on_with(void **state)
{
    struct fixture *f = *state;
    char old[RS_UUID_SIZE], young[RS_UUID_SIZE], path[256];
    push_image(f, "r", "v1", "config", "layer");
    assert_ok(f, rs_upload_begin(f->registry, RS_STR("r"), old, &f->err));
    assert_ok(f, rs_upload_begin(f->registry, RS_STR("r"), young, &f->err));
    snprintf(path, sizeof path, "repositories/r/_uploads/%s/startedat", old);
    fixture_write_c(f, path, "2020-01-01T00:00:00Z");
    snprintf(path, sizeof path, "repositories/r/_uploads/%s/data", old);
    fixture_age(f, path, 7200);
    CHECK(c, "");
    assert_told(&c, line("stale-upload repairable r %s", old));
    assert_int_equal(c.counts.uploads, 2);
    CHECK(repair, "r");
    assert_told(&repair, line("stale-upload mended r %s", old));
    assert_false(fixture_exists(f, path));
    assert_nothing_more(f);
}

static void test_the_list_of_a_killed_collector(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    assert_ok(f, rs_storage_put(f->storage, rs_path_tombstones(&path), RS_STR("x\n"), NULL, &f->err));
    CHECK(c, "");
    assert_told(&c, "stale-collector repairable  ");
    CHECK(repair, "r");
    assert_told(&repair, "stale-collector mended  ");
    assert_nothing_more(f);
}

/* --- the run --- */

static void test_it_can_be_ended_at_any_step(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        push_image(f, "r", line("v%d", i), "config", line("layer %d", i));
    CHECK(all, "");
    assert_true(all.counts.complete);
    for (unsigned n = 1; n < all.asked; n++) {
        RS_AUTO(checked_release) struct checked c = {.stop_after = n};
        check_storage(f, "", &c);
        assert_told(&c, "");
        assert_false(c.counts.complete);
        assert_true(c.asked <= n + 20);
    }
}

static void test_servers_are_seen(void **state)
{
    struct fixture *f = *state;
    push_image(f, "r", "v1", "config", "layer"); /* whoever promises something is seen */
    assert_true(rs_check_has_server(f->storage));
    fixture_reopen(f, &(const struct rs_registry_config){.manifest_cache_bytes = 1 << 20, .state_dir = f->state});
    assert_false(rs_check_has_server(f->storage));
}

static void report_to(FILE *out, bool json, bool quiet)
{
    const struct rs_check_config config = {.hash = true};
    struct rs_check_report r = {.out = out, .json = json, .quiet = quiet};
    struct rs_check_counts counts = {.errors = 1, .warnings = 1, .complete = true};
    const struct rs_finding findings[] = {
        {RS_FINDING_STRAY, RS_STR("r"), {0}, RS_STR("/a\x1b[2J\"b"), RS_STR("odd"), {0}, RS_FINDING_STAYS},
        {RS_FINDING_CORRUPT_BLOB,
         {0},
         RS_STR("sha256:x"),
         RS_STR("/p"),
         RS_STR("bad"),
         RS_STR("would"),
         RS_FINDING_WOULD},
    };
    counts.findings[RS_FINDING_STRAY] = 1;
    rs_check_report_begin(&r, &config);
    for (size_t i = 0; i < RS_COUNT(findings); i++)
        rs_check_report_finding(&r, &findings[i]);
    rs_check_report_end(&r, &counts, NULL);
}

static char *report_text(bool json, bool quiet)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    report_to(out, json, quiet);
    fclose(out);
    return text;
}

static void test_reports(void **state)
{
    (void)state;
    RS_AUTO(rs_free_ptr) char *text = report_text(false, false);
    assert_non_null(strstr(text, "warning stray r /a?[2J\"b: odd\n"));
    assert_non_null(strstr(text, "ERROR corrupt-blob sha256:x /p: bad; would\n"));
    assert_non_null(strstr(text, "1 errors, 1 warnings, 0 mended\n"));
    RS_AUTO(rs_free_ptr) char *quiet = report_text(false, true);
    assert_string_equal(quiet, "ERROR corrupt-blob sha256:x /p: bad; would\n");
    RS_AUTO(rs_free_ptr) char *json = report_text(true, false);
    assert_non_null(strstr(json, "\"path\":\"/a\\u001b[2J\\\"b\""));
    assert_non_null(strstr(json, "\"findings\":{\"stray\":1}"));
    assert_non_null(strstr(json, "\"complete\":true"));
}

static void test_each_finding_has_its_metric(void **state)
{
    (void)state;
    for (int kind = 0; kind < RS_FINDINGS; kind++)
        assert_int_not_equal(rs_metrics_value(RS_LABEL_FINDING, rs_str_c(rs_finding_word((enum rs_finding_kind)kind))),
                             RS_VALUE_FINDING_OTHER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_found_where_all_is_well),
        TEST(test_an_empty_storage),
        TEST(test_what_a_collection_would_free_is_no_fault),
        TEST(test_a_blob_of_other_bytes),
        TEST(test_a_blob_that_is_cut),
        TEST(test_a_blob_that_is_empty),
        TEST(test_what_is_set_aside_is_explained),
        TEST(test_without_hashes_only_manifests_are_read),
        TEST(test_a_blob_of_sha512),
        TEST(test_a_blob_that_is_gone),
        TEST(test_a_link_that_is_gone),
        TEST(test_links_that_hold_no_digest),
        TEST(test_a_broken_link_of_a_blob_that_is_gone),
        TEST(test_an_alias_of_registry_2_is_fine),
        TEST(test_a_manifest_that_is_gone),
        TEST(test_a_corrupt_manifest),
        TEST(test_what_is_no_manifest_is_left_alone),
        TEST(test_an_index_without_a_child_is_legal),
        TEST(test_a_tag_of_a_manifest_that_is_not_linked),
        TEST(test_a_tag_without_a_digest),
        TEST(test_a_tag_that_was_never_set),
        TEST(test_leftovers_of_killed_writes),
        TEST(test_what_nobody_knows_is_only_told),
        TEST(test_ghosts),
        TEST(test_uploads_that_nobody_goes_on_with),
        TEST(test_the_list_of_a_killed_collector),
        TEST(test_it_can_be_ended_at_any_step),
        TEST(test_servers_are_seen),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_each_finding_has_its_metric),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
