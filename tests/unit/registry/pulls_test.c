/* SPDX-License-Identifier: Apache-2.0 */
/* Pulls: what is noted in memory, what becomes a record, and that many may note at once. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "layout/paths.h"
#include "registry/pulls.h"

#define MINUTE 60000
#define REPO RS_STR("team/app")

static bool track_all(const void *ctx, rs_str repository)
{
    (void)ctx, (void)repository;
    return true;
}

static bool track_counted(const void *ctx, rs_str repository)
{
    atomic_fetch_add((atomic_uint *)(uintptr_t)ctx, 1);
    return rs_str_starts(repository, RS_STR("team/"));
}

static struct rs_digest numbered(unsigned i)
{
    char text[32];
    snprintf(text, sizeof text, "manifest %u", i);
    return digest_of(text);
}

static size_t waiting(struct rs_pulls *p)
{
    struct rs_pull pull;
    size_t cursor = 0, count = 0;
    while (rs_pulls_take(p, &cursor, &pull))
        count++;
    return count;
}

static void a_pull_is_noted_once_in_fifty_minutes(void **state)
{
    struct rs_pulls *p = rs_pulls_new(track_all, NULL);
    struct rs_digest digest = numbered(1), other = numbered(2);
    struct rs_pull pull;
    size_t cursor = 0;
    (void)state;
    for (int i = 0; i < 5; i++)
        rs_pulls_note(p, REPO, &digest, 7 * MINUTE + i);
    assert_true(rs_pulls_take(p, &cursor, &pull));
    assert_true(rs_str_eq((rs_str){pull.name, pull.name_len}, REPO));
    assert_true(rs_digest_eq(&pull.digest, &digest));
    assert_false(rs_pulls_take(p, &cursor, &pull));
    rs_pulls_note(p, REPO, &digest, 56 * MINUTE);
    assert_int_equal(waiting(p), 0);
    rs_pulls_note(p, REPO, &other, 56 * MINUTE);
    rs_pulls_note(p, RS_STR("team/other"), &digest, 56 * MINUTE);
    assert_int_equal(waiting(p), 2);
    rs_pulls_note(p, REPO, &digest, 57 * MINUTE);
    assert_int_equal(waiting(p), 1);
    rs_pulls_free(&p);
    assert_null(p);
}

static void what_could_not_be_recorded_comes_again(void **state)
{
    struct rs_pulls *p = rs_pulls_new(track_all, NULL);
    struct rs_digest digest = numbered(1);
    struct rs_pull pull;
    size_t cursor = 0;
    (void)state;
    rs_pulls_note(p, REPO, &digest, MINUTE);
    assert_true(rs_pulls_take(p, &cursor, &pull));
    rs_pulls_note(p, REPO, &digest, MINUTE);
    assert_int_equal(waiting(p), 0);
    rs_pulls_forget(p, &pull);
    rs_pulls_note(p, REPO, &digest, MINUTE);
    assert_int_equal(waiting(p), 1);
    rs_pulls_free(&p);
}

static void patterns_are_asked_once_an_hour(void **state)
{
    atomic_uint asked = 0;
    struct rs_pulls *p = rs_pulls_new(track_counted, &asked);
    struct rs_digest digest = numbered(1);
    (void)state;
    for (int i = 0; i < 1000; i++) {
        rs_pulls_note(p, RS_STR("elsewhere"), &digest, MINUTE);
        rs_pulls_note(p, REPO, &digest, MINUTE);
    }
    assert_int_equal(atomic_load(&asked), 2);
    assert_int_equal(waiting(p), 1);
    rs_pulls_free(&p);
}

static void the_table_is_bounded_and_drops_the_rest(void **state)
{
    struct rs_pulls *p = rs_pulls_new(track_all, NULL);
    const unsigned count = 20000;
    size_t recorded = 0;
    (void)state;
    for (unsigned i = 0; i < count; i++) {
        struct rs_digest digest = numbered(i);
        rs_pulls_note(p, REPO, &digest, MINUTE);
    }
    uint64_t dropped = rs_pulls_dropped(p);
    recorded = waiting(p);
    assert_true(recorded >= 3000 && recorded <= 4096);
    assert_int_equal(recorded + dropped, count);
    for (int round = 0; round < 30; round++) { /* what was dropped comes with the next pulls */
        for (unsigned i = 0; i < count; i++) {
            struct rs_digest digest = numbered(i);
            rs_pulls_note(p, REPO, &digest, MINUTE);
        }
        size_t more = waiting(p);
        recorded += more;
    }
    assert_true(recorded >= count);
    rs_pulls_free(&p);
}

struct crowd {
    struct rs_pulls *pulls;
    atomic_uint taken;
    atomic_bool done;
    unsigned first;
};

#define EACH 400

static void *note_many(void *arg)
{
    struct crowd *c = arg;
    for (unsigned round = 0; round < 20; round++)
        for (unsigned i = 0; i < EACH; i++) {
            struct rs_digest digest = numbered(i);
            rs_pulls_note(c->pulls, REPO, &digest, MINUTE);
        }
    return NULL;
}

static void *take_all(void *arg)
{
    struct crowd *c = arg;
    struct rs_pull pull;
    bool last = false;
    while (!last) {
        last = atomic_load(&c->done);
        for (size_t cursor = 0; rs_pulls_take(c->pulls, &cursor, &pull);)
            atomic_fetch_add(&c->taken, 1);
    }
    return NULL;
}

static void many_note_while_one_takes(void **state)
{
    struct crowd c = {.pulls = rs_pulls_new(track_all, NULL)};
    pthread_t threads[4], taker;
    (void)state;
    assert_int_equal(pthread_create(&taker, NULL, take_all, &c), 0);
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, note_many, &c), 0);
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    atomic_store(&c.done, true);
    pthread_join(taker, NULL);
    assert_in_range(atomic_load(&c.taken), EACH, EACH * RS_COUNT(threads)); /* each once, or once a thread at most */
    rs_pulls_free(&c.pulls);
}

/* --- records --- */

/* A process that records pulls. */
struct process {
    struct rs_storage *storage; /* faulty */
    struct rs_registry *registry;
};

static struct process tracking(struct fixture *f)
{
    struct process process;
    struct rs_storage *disk;
    const struct rs_registry_config config = {.state_dir = f->state, .tracks_pulls = track_all};
    assert_ok(f, rs_storage_fs_new(f->root, &disk, &f->err));
    rs_storage_faulty_new(disk, &process.storage);
    assert_ok(f, rs_registry_new(&config, process.storage, &process.registry, &f->err));
    return process;
}

static void end(struct process *process)
{
    rs_registry_free(&process->registry);
    rs_storage_free(&process->storage);
}

/* It is pulled by a process that has just begun. */
static void pull(struct fixture *f, const struct rs_digest *digest)
{
    struct process process = tracking(f);
    uint64_t failed;
    rs_pull_note(process.registry, REPO, digest);
    assert_ok(f, rs_pulls_write(process.registry, &failed, &f->err));
    assert_int_equal(failed, 0);
    end(&process);
}

static void record_path(const struct rs_digest *digest, char out[256])
{
    snprintf(out, 256, "repositories/team/app/_roadstead/pulled/sha256/%s", rs_digest_hex(digest));
}

static int64_t age_of(struct fixture *f, const char *path)
{
    char full[400];
    struct stat st;
    snprintf(full, sizeof full, "%s/docker/registry/v2/%s", f->root, path);
    assert_int_equal(stat(full, &st), 0);
    assert_int_equal(st.st_size, 0);
    return time(NULL) - st.st_mtime;
}

static void a_record_is_made_and_renewed(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = push_image(f, "team/app", "v1", "config", "layer");
    char path[256];
    record_path(&digest, path);
    assert_false(fixture_exists(f, path));
    pull(f, &digest);
    assert_in_range(age_of(f, path) + 1, 0, 6); /* clocks of the kernel differ by a tick */
    fixture_age(f, path, 60);                   /* another server has made it a minute ago: it stays */
    pull(f, &digest);
    assert_in_range(age_of(f, path), 58, 70);
    fixture_age(f, path, 100000);
    pull(f, &digest);
    assert_in_range(age_of(f, path) + 1, 0, 6); /* clocks of the kernel differ by a tick */
    fixture_age(f, path, -100000);              /* the clock was wrong */
    pull(f, &digest);
    assert_in_range(age_of(f, path) + 1, 0, 6); /* clocks of the kernel differ by a tick */
}

static void it_goes_with_its_manifest(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = push_image(f, "team/app", "v1", "config", "layer");
    char path[256];
    record_path(&digest, path);
    pull(f, &digest);
    assert_true(fixture_exists(f, path));
    assert_ok(f, rs_manifest_delete(f->registry, REPO, &digest, NULL, NULL, &f->err));
    assert_false(fixture_exists(f, path));
}

static void nothing_is_made_of_what_is_gone(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = digest_of("never pushed");
    pull(f, &digest);
    assert_false(fixture_exists(f, "repositories/team"));
}

static void a_disk_that_fails_costs_no_record(void **state)
{
    struct fixture *f = *state;
    struct process process = tracking(f);
    struct rs_digest digest = push_image(f, "team/app", "v1", "config", "layer");
    char path[256];
    uint64_t failed;
    record_path(&digest, path);
    assert_ok(f, rs_storage_faulty_parse(process.storage, RS_STR("put:nth=1:error=STORAGE_FULL"), &f->err));
    rs_pull_note(process.registry, REPO, &digest);
    assert_rc(f, RS_E_STORAGE_FULL, rs_pulls_write(process.registry, &failed, &f->err));
    assert_int_equal(failed, 1);
    assert_false(fixture_exists(f, path));
    rs_pull_note(process.registry, REPO, &digest);
    assert_ok(f, rs_pulls_write(process.registry, &failed, &f->err));
    assert_int_equal(failed, 0);
    assert_true(fixture_exists(f, path));
    end(&process);
}

/* --- a tag that nobody pushed again --- */

static void look(struct fixture *f, struct rs_storage_stat *st)
{
    struct rs_path path;
    nanosleep(&(struct timespec){.tv_nsec = 30 * 1000000}, NULL); /* until the link has a stamp */
    assert_ok(f, rs_storage_stat(f->storage, rs_path_tag_current(&path, REPO, RS_STR("v1")), st, &f->err));
}

static void an_unchanged_tag_is_removed(void **state)
{
    struct fixture *f = *state;
    struct rs_storage_stat seen;
    const struct rs_manifest_doc *doc = NULL;
    struct rs_digest digest = push_image(f, "team/app", "v1", "config", "layer");
    look(f, &seen);
    assert_int_not_equal(seen.stamp, 0);
    assert_ok(f, rs_tag_delete_unchanged(f->registry, REPO, RS_STR("v1"), &digest, &seen, &f->err));
    assert_false(fixture_exists(f, "repositories/team/app/_manifests/tags/v1"));
    assert_ok(f, try_get(f, "team/app", digest.text, &doc));
    rs_manifest_doc_unref(&doc);
    assert_rc(f, RS_E_MANIFEST_UNKNOWN,
              rs_tag_delete_unchanged(f->registry, REPO, RS_STR("v1"), &digest, &seen, &f->err));
}

static void one_that_was_pushed_again_stays(void **state)
{
    struct fixture *f = *state;
    struct rs_storage_stat seen;
    struct rs_digest first = push_image(f, "team/app", "v1", "config", "layer");
    look(f, &seen);
    push_image(f, "team/app", "v1", "config", "layer"); /* the same bytes, within the second */
    assert_rc(f, RS_E_PRECONDITION, rs_tag_delete_unchanged(f->registry, REPO, RS_STR("v1"), &first, &seen, &f->err));
    look(f, &seen);
    push_image(f, "team/app", "v1", "config", "another");
    assert_rc(f, RS_E_PRECONDITION, rs_tag_delete_unchanged(f->registry, REPO, RS_STR("v1"), &first, &seen, &f->err));
    assert_true(fixture_exists(f, "repositories/team/app/_manifests/tags/v1/current/link"));
}

static void it_is_the_same_in_memory(void **state)
{
    struct fixture *f = *state;
    struct rs_storage *memory;
    struct rs_registry *registry;
    struct rs_storage_stat seen;
    struct rs_path path;
    const struct rs_registry_config config = {.state_dir = f->state};
    struct rs_digest digest = digest_of("manifest");
    assert_ok(f, rs_storage_memory_new(1 << 24, &memory, &f->err));
    assert_ok(f, rs_registry_new(&config, memory, &registry, &f->err));
    rs_path_tag_current(&path, REPO, RS_STR("v1"));
    assert_ok(f, rs_storage_put(memory, path.z, rs_digest_str(&digest), NULL, &f->err));
    assert_ok(f, rs_storage_stat(memory, path.z, &seen, &f->err));
    assert_ok(f, rs_storage_put(memory, path.z, rs_digest_str(&digest), NULL, &f->err));
    assert_rc(f, RS_E_PRECONDITION, rs_tag_delete_unchanged(registry, REPO, RS_STR("v1"), &digest, &seen, &f->err));
    assert_ok(f, rs_storage_stat(memory, path.z, &seen, &f->err));
    assert_ok(f, rs_tag_delete_unchanged(registry, REPO, RS_STR("v1"), &digest, &seen, &f->err));
    assert_rc(f, RS_E_NOT_FOUND, rs_storage_stat(memory, path.z, &seen, &f->err));
    rs_registry_free(&registry);
    rs_storage_free(&memory);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pull_is_noted_once_in_fifty_minutes),
        cmocka_unit_test(what_could_not_be_recorded_comes_again),
        cmocka_unit_test(patterns_are_asked_once_an_hour),
        cmocka_unit_test(the_table_is_bounded_and_drops_the_rest),
        cmocka_unit_test(many_note_while_one_takes),
        TEST(a_record_is_made_and_renewed),
        TEST(it_goes_with_its_manifest),
        TEST(nothing_is_made_of_what_is_gone),
        TEST(a_disk_that_fails_costs_no_record),
        TEST(an_unchanged_tag_is_removed),
        TEST(one_that_was_pushed_again_stays),
        TEST(it_is_the_same_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
