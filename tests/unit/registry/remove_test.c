/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/remove.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fixture.h"
#include "layout/paths.h"

#define REPO "lib/app"
#define OLD_S (10 * FIXTURE_GRACE_S)

/* --- what the tests do --- */

static const char *below_v2(const char *path)
{
    return path + strlen("/docker/registry/v2/");
}

static void age(struct fixture *f, const char *path)
{
    fixture_age(f, below_v2(path), OLD_S);
}

static bool exists(struct fixture *f, const char *path)
{
    struct rs_storage_stat st;
    return rs_storage_stat(f->storage, path, &st, NULL) == RS_OK;
}

static const char *link_of(struct rs_path *path, const struct rs_digest *digest)
{
    return rs_path_layer_link(path, RS_STR(REPO), digest);
}

/* A blob that nobody has used for long, with its link or without. */
static struct rs_digest old_blob(struct fixture *f, const char *text, bool with_link)
{
    struct rs_path path;
    struct rs_digest digest = push_text(f, REPO, text);
    age(f, rs_path_blob(&path, &digest));
    age(f, link_of(&path, &digest));
    if (!with_link)
        assert_ok(f, rs_blob_unlink(f->registry, RS_STR(REPO), &digest, &f->err));
    return digest;
}

static struct rs_remover *open_remover(struct fixture *f, int64_t *out_before_s)
{
    struct rs_remover *remover;
    int64_t grace_s;
    assert_ok(f, rs_remover_open(f->registry, FIXTURE_GRACE_S, false, &remover, &grace_s, &f->err));
    *out_before_s = rs_remover_began_s(remover) - grace_s;
    return remover;
}

static struct rs_removal one(enum rs_removal_kind kind, const struct rs_digest *digest)
{
    return (struct rs_removal){
        .kind = kind, .repository = kind == RS_REMOVE_BLOB ? (rs_str){0} : RS_STR(REPO), .digest = *digest};
}

static enum rs_removal_result take(struct fixture *f, struct rs_removal item)
{
    int64_t before_s;
    struct rs_remover *remover = open_remover(f, &before_s);
    assert_ok(f, rs_remover_take(remover, before_s, &item, 1, NULL, NULL, &f->err));
    rs_remover_close(&remover);
    return item.result;
}

/* --- tests --- */

static void test_takes_what_is_old(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    struct rs_digest digest = old_blob(f, "old", true);
    assert_int_equal(take(f, one(RS_REMOVE_LINK, &digest)), RS_REMOVAL_DONE);
    assert_false(exists(f, link_of(&path, &digest)));
    assert_false(exists(f, rs_path_parent(&path)));
    assert_int_equal(take(f, one(RS_REMOVE_BLOB, &digest)), RS_REMOVAL_DONE);
    assert_false(exists(f, rs_path_blob(&path, &digest)));
    assert_false(exists(f, rs_path_parent(&path)));
    assert_int_equal(take(f, one(RS_REMOVE_BLOB, &digest)), RS_REMOVAL_MISSING);
    assert_false(exists(f, rs_path_tombstones(&path)));
}

static void test_spares_what_is_young(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    struct rs_digest digest = push_text(f, REPO, "young");
    assert_int_equal(take(f, one(RS_REMOVE_LINK, &digest)), RS_REMOVAL_SPARED);
    assert_true(exists(f, link_of(&path, &digest)));
}

static void test_spares_a_blob_that_is_linked(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = old_blob(f, "linked", true);
    assert_int_equal(take(f, one(RS_REMOVE_BLOB, &digest)), RS_REMOVAL_SPARED);
}

static void test_spares_a_blob_that_is_a_manifest(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    struct rs_digest digest = push_image(f, REPO, "v1", "config", "layer");
    age(f, rs_path_blob(&path, &digest));
    age(f, rs_path_revision_link(&path, RS_STR(REPO), &digest));
    assert_int_equal(take(f, one(RS_REMOVE_BLOB, &digest)), RS_REMOVAL_SPARED);
    assert_int_equal(take(f, one(RS_REMOVE_MANIFEST, &digest)), RS_REMOVAL_DONE);
    assert_int_equal(take(f, one(RS_REMOVE_BLOB, &digest)), RS_REMOVAL_DONE);
}

/* registry:2's alias: a sha512 link that leads to the bytes of a sha256. */
static void test_spares_the_target_of_an_alias(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    struct rs_digest digest = old_blob(f, "aliased", false), alias;
    rs_digest_of(RS_SHA512, "aliased", 7, &alias);
    fixture_write_c(f, below_v2(link_of(&path, &alias)), digest.text);
    assert_int_equal(take(f, one(RS_REMOVE_BLOB, &digest)), RS_REMOVAL_SPARED);
}

static void test_tells_the_bytes(void **state)
{
    struct fixture *f = *state;
    int64_t before_s;
    struct rs_digest a = old_blob(f, "four", false), b = old_blob(f, "seven..", false);
    struct rs_removal items[] = {one(RS_REMOVE_BLOB, &a), one(RS_REMOVE_BLOB, &b)};
    struct rs_remover *remover = open_remover(f, &before_s);
    assert_ok(f, rs_remover_take(remover, before_s, items, 2, NULL, NULL, &f->err));
    rs_remover_close(&remover);
    assert_int_equal(items[0].size, 4);
    assert_int_equal(items[1].size, 7);
}

/* Whoever relied on a link has renewed it. */
static void expect_renewed(struct fixture *f, const struct rs_digest *digest)
{
    assert_int_equal(take(f, one(RS_REMOVE_LINK, digest)), RS_REMOVAL_SPARED);
}

static void test_head_renews(void **state)
{
    struct fixture *f = *state;
    uint64_t size;
    struct rs_digest digest = old_blob(f, "asked for", true);
    assert_ok(f, rs_blob_stat(f->registry, RS_STR(REPO), &digest, &size, &f->err));
    expect_renewed(f, &digest);
}

static void test_push_of_the_same_bytes_renews(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = old_blob(f, "again", true);
    push_text(f, REPO, "again");
    expect_renewed(f, &digest);
}

static void test_mount_renews(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = old_blob(f, "mounted", true);
    push_text(f, "other", "mounted");
    assert_ok(f, rs_blob_mount(f->registry, RS_STR(REPO), RS_STR("other"), &digest, &f->err));
    expect_renewed(f, &digest);
}

static void test_manifest_renews_what_it_needs(void **state)
{
    struct fixture *f = *state;
    struct rs_digest config = old_blob(f, "config", true), layer = old_blob(f, "layer", true);
    push_image(f, "elsewhere", "v1", "config", "layer");
    const char *const layers[] = {"layer"};
    RS_AUTO(rs_free_ptr) char *json = image_json("config", layers, 1);
    assert_ok(f, try_put(f, REPO, "v1", json, NULL));
    expect_renewed(f, &config);
    expect_renewed(f, &layer);
}

static void test_push_of_a_manifest_renews_it(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    struct rs_digest digest = push_image(f, REPO, "v1", "config", "layer");
    age(f, rs_path_revision_link(&path, RS_STR(REPO), &digest));
    push_image(f, REPO, "v2", "config", "layer");
    assert_int_equal(take(f, one(RS_REMOVE_MANIFEST, &digest)), RS_REMOVAL_SPARED);
    age(f, rs_path_revision_link(&path, RS_STR(REPO), &digest));
    assert_ok(f, rs_manifest_promise(f->registry, RS_STR(REPO), &digest, &f->err));
    assert_int_equal(take(f, one(RS_REMOVE_MANIFEST, &digest)), RS_REMOVAL_SPARED);
}

/* --- beside tombstones --- */

struct beside {
    struct fixture *f;
    struct fixture *second; /* the process that pushes */
    struct rs_digest digest;
    atomic_bool ended;
    rs_rc rc;
};

static void *push_beside(void *arg)
{
    struct beside *b = arg;
    b->rc = try_push(b->second, REPO, RS_STR("contested"), &b->digest);
    atomic_store(&b->ended, true);
    return NULL;
}

/* Called by the remover when its tombstones stand. */
static bool look_beside(void *ctx)
{
    struct beside *b = ctx;
    uint64_t size;
    struct rs_err err;
    assert_int_equal(rs_blob_stat(b->second->registry, RS_STR(REPO), &b->digest, &size, &err), RS_E_BLOB_UNKNOWN);
    assert_int_equal(rs_blob_mount_any(b->second->registry, RS_STR("x"), &b->digest, &err), RS_E_BLOB_UNKNOWN);
    rs_sleep_ms(30);
    assert_false(atomic_load(&b->ended)); /* the push waits */
    return true;
}

static void test_pushes_wait_and_promises_fail(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    pthread_t thread;
    int64_t before_s;
    struct fixture *second = fixture_second(f);
    struct beside b = {.f = f, .second = second, .digest = old_blob(f, "contested", true)};
    struct rs_removal item = one(RS_REMOVE_BLOB, &b.digest);
    assert_ok(f, rs_blob_unlink(f->registry, RS_STR(REPO), &b.digest, &f->err));
    struct rs_remover *remover = open_remover(f, &before_s);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("list:nth=1:delay=300"), &f->err));
    /* The tombstones are written, then the remover lists for 300 ms; the push meets them. */
    assert_ok(f, rs_storage_faulty_parse(second->storage, RS_STR("append:nth=1:delay=100"), &second->err));
    assert_int_equal(pthread_create(&thread, NULL, push_beside, &b), 0);
    assert_ok(f, rs_remover_take(remover, before_s, &item, 1, look_beside, &b, &f->err));
    assert_int_equal(pthread_join(thread, NULL), 0);
    rs_remover_close(&remover);
    assert_int_equal(b.rc, RS_OK);
    RS_AUTO(rs_free_ptr) char *text = blob_text(f, REPO, &b.digest);
    assert_string_equal(text, "contested");
    assert_false(exists(f, rs_path_tombstones(&path)));
    fixture_second_free(&second);
}

/* A remover that was killed leaves its list: nobody waits for it for ever. */
static void test_stale_tombstones_are_lifted(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    struct rs_digest digest = digest_of("waits for nobody");
    RS_AUTO(rs_buf_release) struct rs_buf line;
    rs_buf_init(&line, 256);
    rs_buf_printf(&line, "@%s\n", digest.text);
    assert_ok(f, rs_storage_put(f->storage, rs_path_tombstones(&path), rs_buf_str(&line), NULL, &f->err));
    int64_t began_ms = rs_mono_ms();
    push_text(f, REPO, "waits for nobody");
    assert_true(rs_mono_ms() - began_ms < 5000);
    assert_false(exists(f, path.z));
}

static void test_one_remover_at_a_time(void **state)
{
    struct fixture *f = *state;
    int64_t before_s, grace_s;
    struct rs_remover *another = NULL, *remover = open_remover(f, &before_s);
    assert_rc(f, RS_E_BUSY, rs_remover_open(f->registry, 60, false, &another, &grace_s, &f->err));
    rs_remover_close(&remover);
    assert_ok(f, rs_remover_open(f->registry, 60, false, &another, &grace_s, &f->err));
    assert_int_equal(grace_s, FIXTURE_GRACE_S); /* its own registry is a server with a longer one */
    rs_remover_close(&another);
}

static void test_alone_there_is_no_grace(void **state)
{
    struct fixture *f = *state;
    int64_t grace_s;
    struct rs_storage *storage;
    struct rs_registry *command;
    struct rs_remover *remover;
    const struct rs_registry_config config = {.state_dir = f->state};
    assert_ok(f, rs_storage_fs_new(f->root, &storage, &f->err));
    assert_ok(f, rs_registry_new(&config, storage, &command, &f->err));
    assert_ok(f, rs_remover_open(command, 60, true, &remover, &grace_s, &f->err));
    assert_int_equal(grace_s, 0);
    rs_remover_close(&remover);
    push_text(f, REPO, "a server works here now");
    assert_ok(f, rs_remover_open(command, 60, true, &remover, &grace_s, &f->err));
    assert_int_equal(grace_s, FIXTURE_GRACE_S);
    rs_remover_close(&remover);
    rs_registry_free(&command);
    rs_storage_free(&storage);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

static void test_can_be_ended(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    int64_t before_s;
    struct rs_digest digest = old_blob(f, "left", false);
    struct rs_removal item = one(RS_REMOVE_BLOB, &digest);
    struct rs_remover *remover = open_remover(f, &before_s);
    assert_ok(f, rs_remover_take(remover, before_s, &item, 1, never, NULL, &f->err));
    assert_int_equal(item.result, RS_REMOVAL_LEFT);
    assert_true(exists(f, rs_path_blob(&path, &digest)));
    assert_false(exists(f, rs_path_tombstones(&path)));
    rs_remover_close(&remover);
}

/* Nothing is taken on half knowledge, and the tombstones go whatever happens. */
static void test_a_listing_that_breaks_off_spares_all(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    int64_t before_s;
    struct rs_digest digest = old_blob(f, "left", false);
    struct rs_removal item = one(RS_REMOVE_BLOB, &digest);
    struct rs_remover *remover = open_remover(f, &before_s);
    for (int nth = 1; nth <= 5; nth++) {
        char plan[64];
        rs_storage_faulty_clear(f->storage);
        snprintf(plan, sizeof plan, "list:nth=%d:fail-at-byte=0:error=IO", nth);
        assert_ok(f, rs_storage_faulty_parse(f->storage, rs_str_c(plan), &f->err));
        assert_rc(f, RS_E_IO, rs_remover_take(remover, before_s, &item, 1, NULL, NULL, &f->err));
        assert_int_equal(item.result, RS_REMOVAL_LEFT);
        assert_true(exists(f, rs_path_blob(&path, &digest)));
        assert_false(exists(f, rs_path_tombstones(&path)));
    }
    rs_remover_close(&remover);
}

/* The build puts this before the real one (--wrap). */
static int64_t set_back_ms;
int64_t __real_rs_wall_ms(void);
int64_t __wrap_rs_wall_ms(void);
int64_t __wrap_rs_wall_ms(void)
{
    return __real_rs_wall_ms() - set_back_ms;
}

static void test_a_clock_that_is_set_back_ends_it(void **state)
{
    struct fixture *f = *state;
    struct rs_path path;
    int64_t before_s;
    struct rs_digest digest = old_blob(f, "left", false);
    struct rs_removal item = one(RS_REMOVE_BLOB, &digest);
    struct rs_remover *remover = open_remover(f, &before_s);
    set_back_ms = 60000;
    assert_rc(f, RS_E_UNAVAILABLE, rs_remover_take(remover, before_s, &item, 1, NULL, NULL, &f->err));
    assert_true(exists(f, rs_path_blob(&path, &digest)));
    set_back_ms = -60000; /* set on: what is renewed looks younger still */
    assert_ok(f, rs_remover_take(remover, before_s, &item, 1, NULL, NULL, &f->err));
    assert_int_equal(item.result, RS_REMOVAL_DONE);
    rs_remover_close(&remover);
    set_back_ms = 0;
}

static void test_many_at_once(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 500 };
    int64_t before_s;
    RS_AUTO(rs_free_ptr) struct rs_removal *items = rs_calloc(COUNT, sizeof *items);
    for (int i = 0; i < COUNT; i++) {
        char text[32];
        snprintf(text, sizeof text, "blob %d", i);
        struct rs_digest digest = old_blob(f, text, i % 7 == 0);
        items[i] = one(RS_REMOVE_BLOB, &digest);
    }
    struct rs_remover *remover = open_remover(f, &before_s);
    assert_ok(f, rs_remover_take(remover, before_s, items, COUNT, NULL, NULL, &f->err));
    rs_remover_close(&remover);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(items[i].result, i % 7 == 0 ? RS_REMOVAL_SPARED : RS_REMOVAL_DONE);
}

/* Without a server: written past the registry. */
static struct rs_digest lone_blob(struct fixture *f, int number, bool with_link)
{
    char text[32];
    struct rs_path path;
    struct rs_digest digest;
    snprintf(text, sizeof text, "blob %d", number);
    digest = digest_of(text);
    assert_ok(f, rs_storage_put(f->storage, rs_path_blob(&path, &digest), rs_str_c(text), NULL, &f->err));
    if (with_link)
        assert_ok(f, rs_storage_put(f->storage, link_of(&path, &digest), rs_digest_str(&digest), NULL, &f->err));
    return digest;
}

/* Where nobody is served several threads remove. */
static void test_many_at_once_alone(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 1000 };
    int64_t grace_s;
    struct rs_storage *storage;
    struct rs_registry *command;
    struct rs_remover *remover;
    const struct rs_registry_config config = {.state_dir = f->state};
    RS_AUTO(rs_free_ptr) struct rs_removal *items = rs_calloc(COUNT, sizeof *items);
    for (int i = 0; i < COUNT; i++) {
        struct rs_digest digest = lone_blob(f, i, i % 7 == 0);
        items[i] = one(RS_REMOVE_BLOB, &digest);
    }
    assert_ok(f, rs_storage_fs_new(f->root, &storage, &f->err));
    assert_ok(f, rs_registry_new(&config, storage, &command, &f->err));
    assert_ok(f, rs_remover_open(command, 60, true, &remover, &grace_s, &f->err));
    assert_int_equal(grace_s, 0);
    int64_t began_s = rs_remover_began_s(remover);
    assert_ok(f, rs_remover_begin_again(remover, &grace_s, &f->err)); /* they were written in this second, perhaps */
    assert_int_equal(grace_s, 0);
    assert_true(rs_remover_began_s(remover) > began_s);
    assert_ok(f, rs_remover_take(remover, rs_remover_began_s(remover), items, COUNT, never, NULL, &f->err));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(items[i].result, i % 7 == 0 ? RS_REMOVAL_SPARED : RS_REMOVAL_LEFT);
    assert_ok(f, rs_remover_take(remover, rs_remover_began_s(remover), items, COUNT, NULL, NULL, &f->err));
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(items[i].result, i % 7 == 0 ? RS_REMOVAL_SPARED : RS_REMOVAL_DONE);
    rs_remover_close(&remover);
    rs_registry_free(&command);
    rs_storage_free(&storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_takes_what_is_old, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_spares_what_is_young, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_spares_a_blob_that_is_linked, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_spares_a_blob_that_is_a_manifest, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_spares_the_target_of_an_alias, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_tells_the_bytes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_head_renews, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_push_of_the_same_bytes_renews, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_mount_renews, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_manifest_renews_what_it_needs, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_push_of_a_manifest_renews_it, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_pushes_wait_and_promises_fail, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_stale_tombstones_are_lifted, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_one_remover_at_a_time, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_alone_there_is_no_grace, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_can_be_ended, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_listing_that_breaks_off_spares_all, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_that_is_set_back_ends_it, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_many_at_once, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_many_at_once_alone, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
