/* SPDX-License-Identifier: Apache-2.0 */
/* What a collection takes, what it leaves, and when it takes nothing at all. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "collected.h"

#define AUTO_COLLECTED RS_AUTO(collected_release) struct collected

static void garbage_goes_and_images_stay(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest image = push_image(f, "app", "1", "config", "layer");
    struct rs_digest loose = push_text(f, "app", "loose");
    all_is_old(f);
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 1 1");
    assert_int_equal(c.report.freed, 5);
    assert_int_equal(c.report.eligible_bytes, 5);
    assert_int_equal(c.report.repositories, 1);
    assert_int_equal(c.report.manifests, 1);
    assert_int_equal(c.report.marked, 3);
    assert_int_equal(c.report.grace_s, FIXTURE_GRACE_S);
    assert_false(has_data(f, &loose));
    assert_false(has_link(f, "app", &loose));
    assert_true(has_image(f, "app", &image));
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 0 0");
}

static void what_is_young_stays(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest blob = push_text(f, "app", "young link");
    struct rs_digest bare = digest_of("young data");
    all_is_old(f);
    fixture_age(f, layer_path("app", &blob), FIXTURE_GRACE_S / 2);
    fixture_write_c(f, data_path(&bare), "young data");
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 0 0");
    assert_true(has_data(f, &blob) && has_link(f, "app", &blob) && has_data(f, &bare));
}

static void without_a_server_there_is_no_grace(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest blob = push_text(f, "app", "just pushed");
    const struct rs_registry_config config = {.state_dir = f->state, .manifest_cache_bytes = 1 << 20};
    rs_registry_free(&f->registry); /* the server ends */
    rs_storage_free(&f->storage);
    assert_ok(f, rs_storage_fs_new(f->root, &f->storage, &f->err));
    assert_ok(f, rs_registry_new(&config, f->storage, &f->registry, &f->err));
    collect_all(f, "a", &c);
    assert_int_equal(c.report.grace_s, 0);
    assert_false(has_data(f, &blob));
}

static void a_shared_layer_stays_for_the_other_repository(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest shared = digest_of("shared"), own = digest_of("config 1");
    struct rs_digest gone = push_image(f, "one", "1", "config 1", "shared");
    struct rs_digest kept = push_image(f, "deep/er/two", "1", "config 2", "shared");
    assert_ok(f, rs_manifest_delete(f->registry, RS_STR("one"), &gone, NULL, NULL, &f->err));
    all_is_old(f);
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 2 2"); /* both links; config and manifest */
    assert_false(has_link(f, "one", &shared) || has_data(f, &own) || has_data(f, &gone));
    assert_true(has_image(f, "deep/er/two", &kept));
}

static void untagged_manifests_stay_without_m(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest image = push_untagged(f, "app", "config", "layer");
    all_is_old(f);
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 0 0");
    assert_true(has_image(f, "app", &image));
    collect_all(f, "m", &c);
    assert_string_equal(removed(&c), "1 2 3");
    assert_false(fixture_exists(f, revision_path("app", &image)));
}

static void sha512_is_understood(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest blob, json_digest, loose;
    rs_digest_of(RS_SHA512, "long", 4, &blob);
    rs_digest_of(RS_SHA512, "loose", 5, &loose);
    assert_ok(f, try_push(f, "app", RS_STR("long"), &blob));
    assert_ok(f, try_push(f, "app", RS_STR("loose"), &loose));
    char json[1024];
    snprintf(json, sizeof json,
             "{\"schemaVersion\":2,\"mediaType\":\"" RS_MEDIA_OCI_MANIFEST "\",\"config\":{\"mediaType\":\"x/y\","
             "\"digest\":\"%s\",\"size\":4},\"layers\":[]}",
             blob.text);
    rs_digest_of(RS_SHA512, json, strlen(json), &json_digest);
    assert_ok(f, try_put(f, "app", json_digest.text, json, NULL));
    all_is_old(f);
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 1 1");
    assert_true(has_image(f, "app", &json_digest));
    assert_false(has_data(f, &loose));
}

/* registry:2 keeps the bytes under their SHA-256, and makes links of both names. */
static void an_alias_keeps_what_it_leads_to(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest alias, target = push_text(f, "app", "aliased");
    rs_digest_of(RS_SHA512, "aliased", 7, &alias);
    fixture_write_c(f, layer_path("app", &alias), target.text);
    char json[1024];
    snprintf(json, sizeof json, "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":7},\"layers\":[]}",
             alias.text);
    store_manifest(f, "app", json);
    all_is_old(f);
    for (const char *flags = "m"; flags != NULL; flags = *flags != '\0' ? "" : NULL) {
        struct rs_digest tagged = digest_of(json);
        fixture_write_c(f, "repositories/app/_manifests/tags/t/current/link", tagged.text);
        collect_all(f, flags, &c);
        assert_string_equal(removed(&c), "0 0 0");
        assert_true(has_data(f, &target) && has_link(f, "app", &alias) && has_link(f, "app", &target));
    }
}

static void old_manifests_keep_their_layers(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    char json[2048];
    struct rs_digest a = push_text(f, "app", "schema 1"), b = push_text(f, "app", "artifact");
    struct rs_digest layer = push_text(f, "app", "cache");
    snprintf(json, sizeof json, "{\"schemaVersion\":1,\"fsLayers\":[{\"blobSum\":\"%s\"}],\"signatures\":[]}", a.text);
    store_manifest(f, "app", json);
    snprintf(json, sizeof json,
             "{\"mediaType\":\"application/vnd.oci.artifact.manifest.v1+json\",\"blobs\":[{\"digest\":\"%s\"}]}",
             b.text);
    store_manifest(f, "app", json);
    snprintf(json, sizeof json,
             "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\","
             "\"digest\":\"%s\",\"size\":5}]}",
             layer.text);
    store_manifest(f, "app", json);
    all_is_old(f);
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 0 0");
    assert_true(has_data(f, &a) && has_data(f, &b) && has_data(f, &layer));
}

static void empty_directories_and_links_to_nothing_are_no_matter(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_digest image = push_image(f, "app", "1", "config", "layer"), nothing = digest_of("nothing");
    fixture_write_c(f, layer_path("app", &nothing), nothing.text);
    fixture_write_c(f, revision_path("app", &nothing), nothing.text);
    fixture_remove(f, revision_path("app", &nothing)); /* leaves its directory, as registry:2's deletes do */
    fixture_write_c(f, data_path(&nothing), "nothing");
    all_is_old(f);
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 1 1");
    assert_false(has_data(f, &nothing));
    assert_true(has_image(f, "app", &image));
}

/* --- nothing on half knowledge --- */

static char *stored(struct fixture *f)
{
    char command[200], out[64 * 1024];
    snprintf(command, sizeof command,
             "cd %s/docker && find . -type f | sort | xargs -r sha256sum; find . -type d | sort", f->root);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(out, 1, sizeof out - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    assert_true(n > 0 && n < sizeof out - 1);
    out[n] = '\0';
    return rs_strdup(out);
}

/* The collection ends with an error of that text, and has removed nothing. */
static void takes_nothing(struct fixture *f, const char *flags, const char *why)
{
    AUTO_COLLECTED c = {0};
    RS_AUTO(rs_free_ptr) char *before = stored(f);
    collect(f, flags, &c);
    RS_AUTO(rs_free_ptr) char *after = stored(f);
    assert_int_not_equal(c.rc, RS_OK);
    if (strstr(c.err.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", c.err.text, why);
    assert_string_equal(before, after);
    assert_string_equal(removed(&c), "0 0 0");
    assert_false(c.report.complete);
}

static void some_garbage(struct fixture *f)
{
    push_image(f, "app", "1", "config", "layer");
    push_text(f, "app", "loose");
}

static void a_manifest_that_is_not_understood_ends_it(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"{",
                                      "[]",
                                      "{\"schemaVersion\":2}",
                                      "{\"mediaType\":\"x/y\",\"layers\":[]}",
                                      "{\"layers\":[{\"digest\":\"sha384:0123\"}]}",
                                      ""};
    some_garbage(f);
    for (size_t i = 0; i < RS_COUNT(bad); i++) {
        struct rs_digest digest = store_manifest(f, "zoo/bad", bad[i]);
        all_is_old(f);
        takes_nothing(f, "", digest.text);
        takes_nothing(f, "m", "repository zoo/bad");
        takes_nothing(f, "d", "roadstead check --repair");
        fixture_remove(f, revision_path("zoo/bad", &digest));
    }
}

static void a_broken_manifest_ends_it(void **state)
{
    struct fixture *f = *state;
    struct rs_digest image = push_image(f, "zoo", "1", "config", "layer");
    some_garbage(f);
    all_is_old(f);
    fixture_write_c(f, data_path(&image), "{\"schemaVersion\":2,\"manifests\":[]}");
    all_is_old(f);
    takes_nothing(f, "", "its bytes have the digest");
    fixture_remove(f, data_path(&image));
    takes_nothing(f, "", "its bytes are missing");
    fixture_write_c(f, revision_path("zoo", &image), "sha256:no digest");
    all_is_old(f);
    takes_nothing(f, "", image.text);
}

static void an_unknown_algorithm_ends_it(void **state)
{
    struct fixture *f = *state;
    some_garbage(f);
    fixture_write_c(f, "repositories/app/_layers/sha384/00/link", "sha256:00");
    all_is_old(f);
    takes_nothing(f, "", "sha384");
    fixture_remove(f, "repositories/app/_layers/sha384/00/link");
}

static void a_storage_that_fails_ends_it(void **state)
{
    struct fixture *f = *state;
    static const char *const plans[] = {"list:nth=1:times=1", "list:fail-at-byte=1:nth=4", "read:nth=2:times=9",
                                        "list:nth=9:times=1", "append:nth=1:times=1",      "stat:nth=3:times=1"};
    some_garbage(f);
    push_image(f, "other", "1", "config 2", "layer 2");
    all_is_old(f);
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        AUTO_COLLECTED c = {0};
        RS_AUTO(rs_free_ptr) char *before = stored(f);
        rs_storage_faulty_clear(f->storage);
        assert_ok(f, rs_storage_faulty_parse(f->storage, rs_str_c(plans[i]), &f->err));
        collect(f, "", &c);
        rs_storage_faulty_clear(f->storage);
        RS_AUTO(rs_free_ptr) char *after = stored(f);
        if (c.rc == RS_OK || strcmp(before, after) != 0)
            fail_msg("%s: %s", plans[i], c.rc == RS_OK ? "it ended well" : after);
    }
    AUTO_COLLECTED c = {0};
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 1 1");
}

/* Whatever fails, and whenever: images are whole afterwards, and the next run does the rest. */
static void no_failure_costs_an_image(void **state)
{
    struct fixture *f = *state;
    for (unsigned nth = 1; nth < 2000; nth += 1 + nth / 32) {
        AUTO_COLLECTED c = {0};
        char plan[64];
        struct rs_digest kept = push_image(f, "app", "1", "config", "layer");
        struct rs_digest gone = push_untagged(f, "app", "config", "other");
        struct rs_digest loose = push_text(f, "app", "loose");
        all_is_old(f);
        snprintf(plan, sizeof plan, "any:nth=%u:times=1", nth);
        assert_ok(f, rs_storage_faulty_parse(f->storage, rs_str_c(plan), &f->err));
        collect(f, "m", &c);
        bool failed = rs_storage_faulty_failures(f->storage) > 0;
        rs_storage_faulty_clear(f->storage);
        assert_true(has_image(f, "app", &kept));
        collect_all(f, "m", &c);
        assert_true(has_image(f, "app", &kept));
        if (has_data(f, &gone) || has_data(f, &loose) || has_link(f, "app", &loose))
            fail_msg("failure %u (%s): %s", nth, c.report.resumed ? "resumed" : "marked again", removed(&c));
        if (!failed)
            return;
    }
    fail();
}

static void a_writing_registry_2_is_refused(void **state)
{
    struct fixture *f = *state;
    char text[RS_RFC3339_SIZE];
    AUTO_COLLECTED c = {0};
    const char *upload = "repositories/app/_uploads/0d4ee2b1-9d3c-4c65-9a0b-6a5c2a3f7a10/startedat";
    some_garbage(f);
    all_is_old(f);
    rs_rfc3339(rs_wall_s() - 60, text);
    fixture_write_c(f, upload, text);
    takes_nothing(f, "", "registry:2");
    collect_all(f, "d", &c);
    rs_rfc3339(rs_wall_s() - 7200, text);
    fixture_write_c(f, upload, text);
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 1 1");
}

static void our_own_uploads_are_no_hindrance(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    char uuid[RS_UUID_SIZE];
    uint64_t offset;
    some_garbage(f);
    all_is_old(f);
    assert_ok(f, rs_upload_begin(f->registry, RS_STR("app"), uuid, &f->err));
    collect_all(f, "", &c);
    assert_string_equal(removed(&c), "0 1 1");
    assert_ok(f, rs_upload_stat(f->registry, RS_STR("app"), rs_str_c(uuid), &offset, &f->err));
}

static void a_dry_run_changes_nothing(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    char line[200];
    struct rs_digest loose = push_text(f, "app", "loose"), image = push_untagged(f, "app", "config", "layer");
    all_is_old(f);
    RS_AUTO(rs_free_ptr) char *before = stored(f);
    collect_all(f, "dm", &c);
    RS_AUTO(rs_free_ptr) char *after = stored(f);
    assert_string_equal(before, after);
    assert_string_equal(removed(&c), "0 0 0");
    snprintf(line, sizeof line, "link %s\n", loose.text);
    assert_non_null(strstr(rs_buf_z(&c.told), line));
    snprintf(line, sizeof line, "blob %s\n", loose.text);
    assert_non_null(strstr(rs_buf_z(&c.told), line));
    snprintf(line, sizeof line, "manifest %s\n", image.text);
    assert_non_null(strstr(rs_buf_z(&c.told), line));
    assert_int_equal(c.report.eligible[RS_REMOVE_BLOB], 4);
    assert_false(fixture_exists(f, "../../../roadstead/v1/collector/dry-plan"));
    assert_false(fixture_exists(f, "../../../roadstead/v1/collector/dry-plan-blobs"));
}

static void notes_of_pulls_go_with_their_manifest(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    char here[300], gone[300];
    struct rs_digest image = push_image(f, "app", "1", "config", "layer"), other = digest_of("other");
    snprintf(here, sizeof here, "repositories/app/_roadstead/pulled/sha256/%s", rs_digest_hex(&image));
    snprintf(gone, sizeof gone, "repositories/app/_roadstead/pulled/sha256/%s", rs_digest_hex(&other));
    fixture_write_c(f, here, "");
    fixture_write_c(f, gone, "");
    collect_all(f, "", &c);
    assert_int_equal(c.report.pulled, 1);
    assert_true(fixture_exists(f, here));
    assert_false(fixture_exists(f, gone));
}

static void two_at_once_are_one_too_many(void **state)
{
    struct fixture *f = *state;
    AUTO_COLLECTED c = {0};
    struct rs_remover *remover;
    int64_t grace_s;
    some_garbage(f);
    all_is_old(f);
    assert_ok(f, rs_remover_open(f->registry, FIXTURE_GRACE_S, false, &remover, &grace_s, &f->err));
    takes_nothing(f, "", "another collection");
    rs_remover_close(&remover);
    collect_all(f, "", &c);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(garbage_goes_and_images_stay),
        TEST(what_is_young_stays),
        TEST(without_a_server_there_is_no_grace),
        TEST(a_shared_layer_stays_for_the_other_repository),
        TEST(untagged_manifests_stay_without_m),
        TEST(sha512_is_understood),
        TEST(an_alias_keeps_what_it_leads_to),
        TEST(old_manifests_keep_their_layers),
        TEST(empty_directories_and_links_to_nothing_are_no_matter),
        TEST(a_manifest_that_is_not_understood_ends_it),
        TEST(a_broken_manifest_ends_it),
        TEST(an_unknown_algorithm_ends_it),
        TEST(a_storage_that_fails_ends_it),
        TEST(no_failure_costs_an_image),
        TEST(a_writing_registry_2_is_refused),
        TEST(our_own_uploads_are_no_hindrance),
        TEST(a_dry_run_changes_nothing),
        TEST(notes_of_pulls_go_with_their_manifest),
        TEST(two_at_once_are_one_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
