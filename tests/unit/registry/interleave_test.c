/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients were told, kept beside a collection, in every order of storage calls with up to two preemptions: see
 * steps.h. Each scenario is a collection and one or two clients; each is also run with a part of the protocol taken
 * out, and then some schedule must lose something, or the method would find nothing.
 */
#include "interleave.h"

#include <unistd.h>

#include "base/mem.h"

/* The sanitizers look at the same code in a fraction of the schedules. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PREEMPTIONS_MAX 1
#endif
#endif
#ifndef PREEMPTIONS_MAX
#define PREEMPTIONS_MAX 2
#endif

#define REPO "app"
#define OTHER "other"
#define LAYER "a layer that many have"
#define CONFIG "a config"

static struct world world;
static char state_dir[] = "/tmp/roadstead-state-XXXXXX";

/* Manifests, made once. */
static char *image; /* of CONFIG and LAYER */
static char *newer; /* of another config and LAYER */
static char *small; /* of LAYER alone */
static char *multi; /* an index of image */
#define NEWER_CONFIG "another config"

static const char *const image_blobs[] = {CONFIG, LAYER};
static const char *const newer_blobs[] = {NEWER_CONFIG, LAYER};

static struct rs_digest digest_of(const char *text, enum rs_hash_alg alg)
{
    struct rs_digest digest;
    rs_digest_of(alg, text, strlen(text), &digest);
    return digest;
}

static char *image_of(const char *config, const char *layer)
{
    struct rs_buf b;
    struct rs_digest c = digest_of(config, RS_SHA256), l = digest_of(layer, RS_SHA256);
    rs_buf_init(&b, 4096);
    rs_buf_printf(
        &b,
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{"
        "\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":"
        "[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu}]}",
        c.text, strlen(config), l.text, strlen(layer));
    rs_buf_z(&b);
    return b.ptr;
}

static char *index_of(const char *child)
{
    struct rs_buf b;
    struct rs_digest d = digest_of(child, RS_SHA256);
    rs_buf_init(&b, 4096);
    rs_buf_printf(&b,
                  "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{"
                  "\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%zu}]}",
                  d.text, strlen(child));
    rs_buf_z(&b);
    return b.ptr;
}

/* --- before: what lies in the storage --- */

static void lay(const char *repository, const char *const *blobs, size_t count, const char *json, const char *tag)
{
    for (size_t i = 0; i < count; i++)
        world_lay(&world, repository, blobs[i], RS_SHA256);
    if (json != NULL)
        world_lay_manifest(&world, repository, tag, json);
}

static void unput(const char *repository, const char *json)
{
    struct rs_err err;
    struct rs_digest digest = digest_of(json, RS_SHA256);
    assert_int_equal(rs_manifest_delete(world.quiet, rs_str_c(repository), &digest, NULL, NULL, &err), RS_OK);
}

/* Linked in REPO, needed by nothing. */
static void lay_garbage(void)
{
    lay(REPO, image_blobs, 2, NULL, NULL);
}

static void lay_layer(void)
{
    lay(REPO, image_blobs + 1, 1, NULL, NULL);
}

/* The same, and no link either. */
static void lay_unlinked(void)
{
    struct rs_err err;
    lay(OTHER, image_blobs, 2, NULL, NULL);
    for (size_t i = 0; i < RS_COUNT(image_blobs); i++) {
        struct rs_digest digest = digest_of(image_blobs[i], RS_SHA256);
        assert_int_equal(rs_blob_unlink(world.quiet, RS_STR(OTHER), &digest, &err), RS_OK);
    }
}

static void lay_untagged(void)
{
    lay(REPO, image_blobs, 2, image, NULL);
}

/* Its bytes and blobs are garbage. */
static void lay_deleted(void)
{
    lay(REPO, image_blobs, 2, image, "latest");
    unput(REPO, image);
}

static void lay_image(void)
{
    lay(REPO, image_blobs, 2, image, "latest");
}

static void lay_untagged_index(void)
{
    lay(REPO, image_blobs, 2, image, NULL);
    world_lay_manifest(&world, REPO, NULL, multi);
}

static void lay_sha512(void)
{
    world_lay(&world, REPO, LAYER, RS_SHA512);
}

/* --- clients --- */

static void upload(size_t server)
{
    struct rs_digest digest = digest_of(LAYER, RS_SHA256);
    if (world_push(&world, server, REPO, LAYER, RS_SHA256) == RS_OK)
        world_promise_blob(&world, REPO, &digest);
}

static void upload_elsewhere(size_t server)
{
    struct rs_digest digest = digest_of(LAYER, RS_SHA256);
    if (world_push(&world, server, "third", LAYER, RS_SHA256) == RS_OK)
        world_promise_blob(&world, "third", &digest);
}

static void upload_sha512(size_t server)
{
    struct rs_digest digest = digest_of(LAYER, RS_SHA512);
    if (world_push(&world, server, REPO, LAYER, RS_SHA512) == RS_OK)
        world_promise_blob(&world, REPO, &digest);
}

static void mount(size_t server)
{
    struct rs_err err = {0};
    struct rs_digest digest = digest_of(LAYER, RS_SHA256);
    rs_rc rc = rs_blob_mount(world.servers[server], RS_STR(OTHER), RS_STR(REPO), &digest, &err);
    world_expect(&world, "a mount", rc, &err, RS_E_BLOB_UNKNOWN, RS_OK);
    if (rc == RS_OK)
        world_promise_blob(&world, OTHER, &digest);
}

static void mount_any(size_t server)
{
    struct rs_err err = {0};
    struct rs_digest digest = digest_of(LAYER, RS_SHA256);
    rs_rc rc = rs_blob_mount_any(world.servers[server], RS_STR(OTHER), &digest, &err);
    world_expect(&world, "a mount from anywhere", rc, &err, RS_E_BLOB_UNKNOWN, RS_OK);
    if (rc == RS_OK)
        world_promise_blob(&world, OTHER, &digest);
}

static void look(size_t server)
{
    struct rs_digest digest = digest_of(LAYER, RS_SHA256);
    if (world_has(&world, server, REPO, LAYER, RS_SHA256))
        world_promise_blob(&world, REPO, &digest);
}

static void look_and_put(size_t server)
{
    world_push_image(&world, server, REPO, "v1", image, image_blobs, 2);
}

static void look_and_put_newer(size_t server)
{
    world_push_image(&world, server, REPO, "v2", newer, newer_blobs, 2);
}

/* Without asking: a client that knows that the registry has the blobs. */
static void put(size_t server)
{
    if (world_put(&world, server, REPO, "v1", image) == RS_OK)
        world_promise_manifest(&world, REPO, "v1", image);
    else
        look_and_put(server);
}

/* Somebody else's renewal: what is young to us need not be so for who looked before. */
static void look_at_once(size_t server)
{
    steps_at_once(true);
    look(server);
    steps_at_once(false);
}

static void put_small(size_t server)
{
    if (world_put(&world, server, REPO, NULL, small) == RS_OK)
        world_promise_manifest(&world, REPO, NULL, small);
}

static void put_by_digest(size_t server)
{
    if (world_put(&world, server, REPO, NULL, image) == RS_OK)
        world_promise_manifest(&world, REPO, NULL, image);
    else
        world_push_image(&world, server, REPO, NULL, image, image_blobs, 2);
}

static void put_index(size_t server)
{
    if (world_put(&world, server, REPO, "multi", multi) == RS_OK) {
        world_promise_manifest(&world, REPO, "multi", multi);
        return;
    }
    world.refused++;
    world_push_image(&world, server, REPO, NULL, image, image_blobs, 2);
    if (world_put(&world, server, REPO, "multi", multi) == RS_OK)
        world_promise_manifest(&world, REPO, "multi", multi);
    else
        world_expect(&world, "a second push of an index", RS_E_MANIFEST_BLOB_UNKNOWN, &(struct rs_err){0}, RS_OK,
                     RS_OK);
}

static void delete_and_push(size_t server)
{
    struct rs_err err = {0};
    struct rs_digest digest = digest_of(image, RS_SHA256);
    rs_rc rc = rs_manifest_delete(world.servers[server], RS_STR(REPO), &digest, NULL, NULL, &err);
    world_expect(&world, "a delete", rc, &err, RS_E_MANIFEST_UNKNOWN, RS_OK);
    look_and_put(server);
}

static void unlink_and_upload(size_t server)
{
    struct rs_err err = {0};
    struct rs_digest digest = digest_of(LAYER, RS_SHA256);
    rs_rc rc = rs_blob_unlink(world.servers[server], RS_STR(REPO), &digest, &err);
    world_expect(&world, "a delete of a blob", rc, &err, RS_E_BLOB_UNKNOWN, RS_OK);
    upload(server);
}

/* --- scenarios --- */

static const struct world_collection in_server = {.servers = 1};
static const struct world_collection beside = {.servers = 0};
static const struct world_collection untagged = {.servers = 1, .untagged = true};
static const struct world_collection alone = {.servers = 0, .alone = true};
static const struct world_collection stepwise = {.servers = 1, .stepwise = true};
static const struct world_collection stepwise_untagged = {.servers = 1, .stepwise = true, .untagged = true};

struct scenario {
    const char *name;
    void (*lay)(void);
    int64_t age_s;
    const struct world_collection *collection;
    void (*clients[STEPS_ACTORS - 1])(size_t server);
    unsigned preemptions;
};

static const struct scenario scenarios[] = {
    {"an upload of what is linked", lay_garbage, WORLD_OLD_S, &in_server, {upload}, 2},
    {"an upload of what is not linked any more", lay_unlinked, WORLD_OLD_S, &in_server, {upload}, 2},
    {"an upload to another repository", lay_garbage, WORLD_OLD_S, &in_server, {upload_elsewhere}, 2},
    {"an upload of a sha512 blob", lay_sha512, WORLD_OLD_S, &in_server, {upload_sha512}, 2},
    {"a mount", lay_garbage, WORLD_OLD_S, &in_server, {mount}, 2},
    {"a mount from anywhere", lay_garbage, WORLD_OLD_S, &in_server, {mount_any}, 2},
    {"a mount of what is not linked any more", lay_unlinked, WORLD_OLD_S, &in_server, {mount_any}, 2},
    {"a look", lay_garbage, WORLD_OLD_S, &in_server, {look}, 2},
    {"a look and a push", lay_garbage, WORLD_OLD_S, &in_server, {look_and_put}, 2},
    {"a push without a look", lay_garbage, WORLD_OLD_S, &in_server, {put}, 2},
    {"a push of a manifest that was deleted", lay_deleted, WORLD_OLD_S, &in_server, {put}, 2},
    {"a push of a manifest that was deleted, by its digest", lay_deleted, WORLD_OLD_S, &in_server, {put_by_digest}, 2},
    {"a push of a manifest without a tag", lay_untagged, WORLD_OLD_S, &untagged, {put}, 2},
    {"a push of it by its digest", lay_untagged, WORLD_OLD_S, &untagged, {put_by_digest}, 2},
    {"a push of another one with its layer", lay_untagged, WORLD_OLD_S, &untagged, {look_and_put_newer}, 2},
    {"a push of an index of it", lay_untagged, WORLD_OLD_S, &untagged, {put_index}, 2},
    {"a push of an index that is there", lay_untagged_index, WORLD_OLD_S, &untagged, {put_index}, 2},
    {"a delete and a push", lay_image, WORLD_OLD_S, &untagged, {delete_and_push}, 2},
    {"a delete of a blob and an upload", lay_garbage, WORLD_OLD_S, &in_server, {unlink_and_upload}, 2},
    {"a collector of its own and a push", lay_garbage, WORLD_OLD_S, &beside, {look_and_put}, 2},
    {"a collector that thinks that it is alone, and an upload", lay_garbage, 100, &alone, {upload}, 2},
    {"a collector that thinks that it is alone, and a push", lay_garbage, 100, &alone, {put}, 2},
    {"a collector that reads in steps, and an upload", lay_garbage, WORLD_OLD_S, &stepwise, {upload}, 2},
    {"a collector that reads in steps, and a push", lay_garbage, WORLD_OLD_S, &stepwise, {put}, 2},
    {"a collector that reads in steps, and an index", lay_untagged, WORLD_OLD_S, &stepwise_untagged, {put_index}, 2},
    {"a look and an upload", lay_layer, WORLD_OLD_S, &in_server, {look_at_once, upload}, 2},
    {"a look and the push of a manifest", lay_layer, WORLD_OLD_S, &in_server, {look_at_once, put_small}, 1},
    {"an upload and a mount", lay_garbage, WORLD_OLD_S, &in_server, {upload, mount}, 1},
    {"two uploads", lay_unlinked, WORLD_OLD_S, &in_server, {upload, upload_elsewhere}, 1},
    {"two pushes", lay_garbage, WORLD_OLD_S, &in_server, {put, look_and_put_newer}, 1},
};

static enum steps_lie (*lie)(void *ctx, enum steps_call call, const char *path);

static void prepare(void *ctx)
{
    const struct scenario *s = ctx;
    world_begin(&world);
    s->lay();
    world_age(&world, s->age_s);
    world_serve(&world, state_dir, s->clients[1] != NULL ? 2 : 1);
    steps_storage_lie(world.storage, lie, NULL);
}

static void act(void *ctx, size_t actor)
{
    const struct scenario *s = ctx;
    if (actor == 0)
        world_collect(&world, s->collection);
    else
        s->clients[actor - 1](actor - 1);
}

/* Now and then also after a second collection, which begins when everything is young; and what has a tag, after one
 * much later. */
static void judge(void *ctx, char *complaint, size_t size)
{
    static const struct world_collection again = {.servers = 1, .untagged = true};
    static unsigned count;
    (void)ctx;
    bool goes_on = count++ % 8 == 0;
    steps_storage_lie(world.storage, NULL, NULL);
    world_check(&world, true, complaint, size);
    if (complaint[0] == '\0' && goes_on) {
        world_collect(&world, &again);
        world_check(&world, true, complaint, size);
    }
    if (complaint[0] == '\0' && goes_on) {
        world_age(&world, WORLD_OLD_S);
        world_forget_untagged(&world);
        world_collect(&world, &again);
        world_check(&world, true, complaint, size);
    }
    world_end(&world);
}

static void explore(const struct scenario *s, struct steps_found *found)
{
    const struct steps_case what = {
        .actors = s->clients[1] != NULL ? 3 : 2,
        .prepare = prepare,
        .act = act,
        .judge = judge,
        .ctx = (void *)(uintptr_t)s,
    };
    steps_explore(&what, RS_MIN(s->preemptions, PREEMPTIONS_MAX), found);
}

static void test_nothing_promised_is_taken(void **state)
{
    uint64_t schedules = 0, steps = 0, diverged = 0;
    (void)state;
    lie = NULL;
    for (size_t i = 0; i < RS_COUNT(scenarios); i++) {
        struct steps_found found;
        explore(&scenarios[i], &found);
        print_message("%6llu schedules, %2llu steps: %s\n", (unsigned long long)found.schedules,
                      (unsigned long long)(found.steps / found.schedules), scenarios[i].name);
        if (found.faults > 0)
            fail_msg("%s: %s", scenarios[i].name, found.first);
        schedules += found.schedules;
        steps += found.steps;
        diverged += found.diverged;
    }
    print_message("%llu schedules, %llu steps, %llu that went another way\n", (unsigned long long)schedules,
                  (unsigned long long)steps, (unsigned long long)diverged);
    assert_true(schedules > (PREEMPTIONS_MAX > 1 ? 30000 : 1000));
    assert_true(diverged < schedules / 100);
}

/* --- with a part taken out --- */

static bool ends_with(const char *path, const char *end)
{
    return rs_str_ends(rs_str_c(path), rs_str_c(end));
}

/* Writers do not see that something is being taken. */
static enum steps_lie hide_tombstones(void *ctx, enum steps_call call, const char *path)
{
    (void)ctx;
    bool hidden = steps_self() == 1 && call == STEPS_LOOK && ends_with(path, "/tombstones");
    return hidden ? STEPS_ABSENT : STEPS_TRUE;
}

/* The remover does not see what was written since: its second look is the first once more. */
static enum steps_lie see_the_past(void *ctx, enum steps_call call, const char *path)
{
    (void)ctx;
    return steps_self() == 0 && call == STEPS_LOOK && ends_with(path, "/link") ? STEPS_OLD : STEPS_TRUE;
}

/* Links are relied on and not renewed. */
static enum steps_lie forget_touches(void *ctx, enum steps_call call, const char *path)
{
    (void)ctx, (void)path;
    return call == STEPS_TOUCH ? STEPS_IGNORED : STEPS_TRUE;
}

/* A server does not tell that it is there, and a collector takes itself to be alone. */
static enum steps_lie hide_servers(void *ctx, enum steps_call call, const char *path)
{
    (void)ctx;
    bool hidden = call == STEPS_LOOK && (ends_with(path, "/servers") || ends_with(path, "/grace")) && steps_self() == 1;
    return hidden || (steps_self() == 0 && ends_with(path, "/servers")) ? STEPS_ABSENT : STEPS_TRUE;
}

static void assert_noticed(enum steps_lie (*broken)(void *ctx, enum steps_call call, const char *path),
                           const char *name)
{
    struct steps_found found = {0};
    lie = broken;
    for (size_t i = 0; i < RS_COUNT(scenarios); i++)
        if (strcmp(scenarios[i].name, name) == 0)
            explore(&scenarios[i], &found);
    lie = NULL;
    print_message("%6llu schedules until it was noticed: %s\n", (unsigned long long)found.schedules, name);
    if (found.faults == 0)
        fail_msg("nothing was noticed in %llu schedules: %s", (unsigned long long)found.schedules, name);
}

static void test_hidden_tombstones_are_noticed(void **state)
{
    (void)state;
    assert_noticed(hide_tombstones, "an upload of what is linked");
    assert_noticed(hide_tombstones, "a mount of what is not linked any more");
}

static void test_a_blind_remover_is_noticed(void **state)
{
    (void)state;
    assert_noticed(see_the_past, "an upload of what is linked");
    assert_noticed(see_the_past, "a push of a manifest without a tag");
    assert_noticed(see_the_past, "a look and a push");
}

static void test_forgotten_renewals_are_noticed(void **state)
{
    (void)state;
    assert_noticed(forget_touches, "an upload of what is linked");
    assert_noticed(forget_touches, "a push of it by its digest");
}

static void test_hidden_servers_are_noticed(void **state)
{
    (void)state;
    assert_noticed(hide_servers, "a collector that thinks that it is alone, and an upload");
}

static int setup(void **state)
{
    (void)state;
    image = image_of(CONFIG, LAYER);
    newer = image_of(NEWER_CONFIG, LAYER);
    small = image_of(LAYER, LAYER);
    multi = index_of(image);
    if (mkdtemp(state_dir) == NULL)
        return -1;
    world_make(&world, state_dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_drop(&world);
    rs_free_ptr(&image);
    rs_free_ptr(&newer);
    rs_free_ptr(&small);
    rs_free_ptr(&multi);
    return rmdir(state_dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_promised_is_taken),  cmocka_unit_test(test_hidden_tombstones_are_noticed),
        cmocka_unit_test(test_a_blind_remover_is_noticed), cmocka_unit_test(test_forgotten_renewals_are_noticed),
        cmocka_unit_test(test_hidden_servers_are_noticed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
