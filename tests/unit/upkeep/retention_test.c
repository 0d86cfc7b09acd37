/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of retention over a registry on disk: what goes, what stays, what is told, and pushes at the same time. */
#include "../registry/fixture.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "layout/paths.h"
#include "upkeep/retention.h"

#define HOUR 3600
#define DAY (24 * HOUR)
#define MS(s) ((int64_t)(s)*1000)

/* What was told, a line each: "K repository:tag reason". */
struct run {
    struct rs_retention retention;
    struct rs_config_retention config;
    struct rs_retention_report report;
    struct rs_buf told;
    rs_rc rc;
    struct rs_err err;
    unsigned asked;
    unsigned ends_after; /* 0: never */
};

static void tell(void *ctx, const struct rs_retention_tag *tag)
{
    struct run *r = ctx;
    rs_buf_printf(&r->told, "%c %.*s:%.*s %.*s\n", "KRSF"[tag->fate], RS_STR_ARG(tag->repository), RS_STR_ARG(tag->tag),
                  RS_STR_ARG(tag->reason));
}

static bool goes_on(void *ctx)
{
    struct run *r = ctx;
    return r->ends_after == 0 || ++r->asked < r->ends_after;
}

static struct run *run_with(struct fixture *f, const struct rs_config_retention_rule *rules, size_t count,
                            const struct run *options)
{
    struct run *r = rs_calloc(1, sizeof *r);
    if (options != NULL)
        *r = *options;
    r->config = (struct rs_config_retention){.interval_ms = MS(DAY), .rules = rules, .rule_count = count};
    r->retention.config = &r->config;
    r->retention.tell = tell;
    r->retention.goes_on = goes_on;
    r->retention.ctx = r;
    rs_buf_init(&r->told, 1 << 20);
    r->rc = rs_retention_run(f->registry, f->storage, &r->retention, &r->report, &r->err);
    return r;
}

static void end_run(struct run **r)
{
    rs_buf_release(&(*r)->told);
    free(*r);
    *r = NULL;
}

/* Runs it; exactly this is told. */
static void check(struct fixture *f, const struct rs_config_retention_rule *rules, size_t count,
                  const struct run *options, const char *told)
{
    struct run *r = run_with(f, rules, count, options);
    assert_string_equal(rs_buf_z(&r->told), told);
    assert_int_equal(r->rc, RS_OK);
    end_run(&r);
}

static const char *const all_names[] = {"**"};
#define ALL                                                                                                            \
    {                                                                                                                  \
        (const char **)(uintptr_t)all_names, 1                                                                         \
    }
#define GLOBS(...)                                                                                                     \
    {                                                                                                                  \
        (const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)                          \
    }

static void set_back(struct fixture *f, const char *repository, const char *tag, int seconds)
{
    char path[400];
    snprintf(path, sizeof path, "repositories/%s/_manifests/tags/%s/current/link", repository, tag);
    fixture_age(f, path, seconds);
}

/* Pushed so long ago. */
static struct rs_digest push_old(struct fixture *f, const char *repository, const char *tag, int seconds)
{
    struct rs_digest digest = push_image(f, repository, tag, tag, "layer");
    set_back(f, repository, tag, seconds);
    return digest;
}

static bool is_there(struct fixture *f, const char *repository, const char *tag)
{
    const struct rs_manifest_doc *doc = NULL;
    bool found = try_get(f, repository, tag, &doc) == RS_OK;
    rs_manifest_doc_unref(&doc);
    return found;
}

static void the_last_ones_stay(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .keep_last = 2, .keep_tags = GLOBS("rel*")};
    push_old(f, "a/b", "one", 50 * DAY);
    struct rs_digest two = push_old(f, "a/b", "two", 40 * DAY);
    push_old(f, "a/b", "three", 30 * DAY);
    push_old(f, "a/b", "four", 20 * DAY);
    push_old(f, "a/b", "release", DAY);
    const struct run dry = {.retention.dry_run = true};
    RS_AUTO(rs_free_ptr) char *before = fixture_tree(f);
    const char *told = "K a/b:four number 1 of 4 by push time (keep_last: 2)\n"
                       "R a/b:one not among the newest of 4 (keep_last: 2)\n"
                       "K a/b:release matches rel* of keep_tags\n"
                       "K a/b:three number 2 of 4 by push time (keep_last: 2)\n"
                       "R a/b:two not among the newest of 4 (keep_last: 2)\n";
    check(f, &rule, 1, &dry, told);
    RS_AUTO(rs_free_ptr) char *after = fixture_tree(f);
    assert_string_equal(after, before);
    check(f, &rule, 1, NULL, told);
    assert_false(is_there(f, "a/b", "one") || is_there(f, "a/b", "two"));
    assert_true(is_there(f, "a/b", "three") && is_there(f, "a/b", "four") && is_there(f, "a/b", "release"));
    assert_true(is_there(f, "a/b", two.text)); /* without a tag, it is the collector's */
    struct run *again = run_with(f, &rule, 1, NULL);
    assert_int_equal(again->report.removed, 0);
    assert_int_equal(again->report.kept, 3);
    end_run(&again);
}

static void the_first_rule_holds_and_others_are_left_alone(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rules[] = {
        {.repositories = GLOBS("team/keep"), .older_than_ms = MS(1000 * DAY)},
        {.repositories = GLOBS("team/*", "x"), .older_than_ms = MS(10 * DAY)},
    };
    push_old(f, "team/keep", "v1", 20 * DAY);
    push_old(f, "team/app", "v1", 20 * DAY);
    push_old(f, "team/app", "v2", 9 * DAY);
    push_old(f, "x", "v1", 20 * DAY);
    push_old(f, "y", "v1", 2000 * DAY);
    push_old(f, "team/app/sub", "v1", 2000 * DAY);
    struct run *r = run_with(f, rules, 2, NULL);
    assert_string_equal(rs_buf_z(&r->told), "R team/app:v1 pushed 20 days ago (older_than: 10 days)\n"
                                            "K team/app:v2 pushed 9 days ago (older_than: 10 days)\n"
                                            "K team/keep:v1 pushed 20 days ago (older_than: 1000 days)\n"
                                            "R x:v1 pushed 20 days ago (older_than: 10 days)\n");
    assert_int_equal(r->report.repositories, 3);
    assert_int_equal(r->report.unruled, 2);
    assert_int_equal(r->report.tags, 4);
    assert_int_equal(r->report.removed, 2);
    assert_true(is_there(f, "y", "v1") && is_there(f, "team/app/sub", "v1"));
    assert_null(rs_retention_rule(&r->config, RS_STR("y")));
    assert_ptr_equal(rs_retention_rule(&r->config, RS_STR("team/keep")), &rules[0]);
    end_run(&r);
}

static void signatures_live_as_long_as_what_they_sign(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .keep_last = 1};
    char tag[100], told[400];
    struct rs_digest image = push_old(f, "r", "v1", 10 * DAY);
    snprintf(tag, sizeof tag, "sha256-%s.sig", rs_digest_hex(&image));
    push_old(f, "r", tag, 20 * DAY);
    snprintf(told, sizeof told,
             "K r:%s belongs to %s, which is there\nK r:v1 number 1 of 1 by push time (keep_last: 1)\n", tag,
             image.text);
    check(f, &rule, 1, NULL, told);
    assert_ok(f, rs_manifest_delete(f->registry, RS_STR("r"), &image, NULL, NULL, &f->err));
    push_old(f, "r", "v2", 1 * DAY);
    snprintf(told, sizeof told,
             "R r:%s not among the newest of 2 (keep_last: 1)\nK r:v2 number 1 of 2 by push time (keep_last: 1)\n",
             tag);
    check(f, &rule, 1, NULL, told);
}

/* --- pulls --- */

#define SINCE "repositories/r/_roadstead/pulled/since"

static void write_since(struct fixture *f, int since, int confirmed)
{
    char text[RS_RFC3339_SIZE];
    rs_rfc3339(rs_wall_s() - since, text);
    fixture_write_c(f, SINCE, text);
    fixture_age(f, SINCE, confirmed);
}

static void pulled(struct fixture *f, const struct rs_digest *digest, int seconds)
{
    char path[256];
    snprintf(path, sizeof path, "repositories/r/_roadstead/pulled/sha256/%s", rs_digest_hex(digest));
    fixture_write_c(f, path, "");
    fixture_age(f, path, seconds);
}

static void what_was_pulled_stays(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .not_pulled_for_ms = MS(10 * DAY)};
    struct rs_digest used = push_old(f, "r", "used", 50 * DAY);
    struct rs_digest unused = push_old(f, "r", "unused", 50 * DAY);
    push_old(f, "r", "never", 50 * DAY);
    push_old(f, "r", "young", 5 * DAY);
    pulled(f, &used, 2 * DAY);
    pulled(f, &unused, 30 * DAY);
    write_since(f, 40 * DAY, HOUR);
    check(f, &rule, 1, NULL,
          "R r:never no pull on record, pushed 50 days ago (not_pulled_for: 10 days)\n"
          "R r:unused last pulled 30 days ago (not_pulled_for: 10 days)\n"
          "K r:used pulled 2 days ago (not_pulled_for: 10 days)\n"
          "K r:young pushed 5 days ago (not_pulled_for: 10 days)\n");
    assert_true(is_there(f, "r", "used"));
    assert_false(is_there(f, "r", "unused"));
}

static void without_tracking_nothing_goes(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .not_pulled_for_ms = MS(10 * DAY)};
    const char *untracked = "K r:v1 pulls are not tracked yet (not_pulled_for: 10 days)\n";
    push_old(f, "r", "v1", 50 * DAY);
    check(f, &rule, 1, NULL, untracked);
    assert_false(fixture_exists(f, SINCE)); /* this was no server */
    write_since(f, 5 * DAY, HOUR);
    check(f, &rule, 1, NULL, "K r:v1 pulls have been tracked for only 5 days (not_pulled_for: 10 days)\n");
    write_since(f, 50 * DAY, 2 * DAY + HOUR); /* confirmed last more than the interval and a day ago */
    check(f, &rule, 1, NULL, untracked);
    write_since(f, -5 * DAY, 0);
    check(f, &rule, 1, NULL, untracked);
    fixture_write_c(f, SINCE, "yesterday");
    check(f, &rule, 1, NULL, untracked);
    assert_true(is_there(f, "r", "v1"));
}

static void a_server_begins_and_confirms_tracking(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .not_pulled_for_ms = MS(10 * DAY)};
    const struct run server = {.retention = {.tracks = true, .dry_run = true}};
    const char *begun = "K r:v1 pulls have been tracked for only 0 s (not_pulled_for: 10 days)\n";
    char since[RS_RFC3339_SIZE];
    push_old(f, "r", "v1", 50 * DAY);
    check(f, &rule, 1, &server, begun);
    write_since(f, 20 * DAY, 2 * DAY - HOUR);
    rs_rfc3339(rs_wall_s() - 20 * DAY, since);
    check(f, &rule, 1, &server, "R r:v1 no pull on record, pushed 50 days ago (not_pulled_for: 10 days)\n");
    RS_AUTO(rs_free_ptr) char *kept = fixture_read(f, SINCE);
    assert_memory_equal(kept, since, 15);     /* but for the seconds */
    write_since(f, 20 * DAY, 2 * DAY + HOUR); /* others have served meanwhile, for all that is known */
    check(f, &rule, 1, &server, begun);
    check(f, &rule, 1, NULL, begun); /* the command believes the server */
}

static void a_failing_disk_does_not_make_unused(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .not_pulled_for_ms = MS(10 * DAY)};
    const struct run server = {.retention.tracks = true};
    push_old(f, "r", "v1", 50 * DAY);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("put:nth=1:error=STORAGE_FULL"), &f->err));
    struct run *r = run_with(f, &rule, 1, &server);
    assert_non_null(strstr(rs_buf_z(&r->told), "K r:v1 pulls are not tracked yet"));
    assert_int_equal(r->report.failed, 1);
    assert_int_equal(r->err.rc, RS_E_STORAGE_FULL);
    end_run(&r);
}

/* --- what fails --- */

static void a_broken_tag_stays_and_keeps_no_other(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .keep_last = 1};
    push_old(f, "r", "a", 20 * DAY);
    push_old(f, "r", "broken", 30 * DAY);
    push_old(f, "r", "c", 10 * DAY);
    fixture_write_c(f, "repositories/r/_manifests/tags/broken/current/link", "sha256:what");
    fixture_age(f, "repositories/r/_manifests/tags/broken/current/link", DAY); /* it takes no place */
    struct run *r = run_with(f, &rule, 1, NULL);
    assert_int_equal(r->rc, RS_OK);
    assert_non_null(strstr(rs_buf_z(&r->told), "R r:a not among the newest of 2 (keep_last: 1)\nF r:broken "));
    assert_int_equal(r->report.failed, 1);
    assert_int_equal(r->err.rc, RS_E_CORRUPT);
    assert_true(fixture_exists(f, "repositories/r/_manifests/tags/broken/current/link"));
    assert_true(is_there(f, "r", "c"));
    end_run(&r);
}

static void a_repository_that_fails_keeps_no_other(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .older_than_ms = MS(DAY)};
    push_old(f, "a", "v1", 20 * DAY);
    push_old(f, "b", "v1", 20 * DAY);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("remove:nth=1"), &f->err));
    struct run *r = run_with(f, &rule, 1, NULL);
    assert_int_equal(r->rc, RS_OK);
    assert_int_equal(r->report.removed, 1);
    assert_int_equal(r->report.failed, 1);
    assert_string_equal(strchr(rs_buf_z(&r->told), '\n') + 1, "R b:v1 pushed 20 days ago (older_than: 1 day)\n");
    assert_true(is_there(f, "a", "v1"));
    end_run(&r);
}

/* keep_last would count wrong. */
static void half_a_list_removes_nothing(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .keep_last = 1};
    push_old(f, "a", "v1", 20 * DAY);
    push_old(f, "a", "v2", 10 * DAY);
    push_old(f, "a", "v3", DAY);
    for (int nth = 1; nth < 6; nth++) {
        char plan[64];
        struct fixture *other = fixture_second(f); /* it has read nothing yet */
        const struct run dry = {.retention.dry_run = true};
        snprintf(plan, sizeof plan, "list:nth=%d:fail-at-byte=1", nth);
        assert_ok(f, rs_storage_faulty_parse(other->storage, rs_str_c(plan), &f->err));
        struct run *r = run_with(other, &rule, 1, &dry);
        bool failed = rs_storage_faulty_failures(other->storage) > 0;
        assert_int_equal(failed, r->rc != RS_OK || r->report.failed > 0);
        assert_int_equal(r->report.removed, failed ? 0 : 2);
        assert_true(failed || nth > 2);
        end_run(&r);
        fixture_second_free(&other);
    }
}

static void it_ends_when_it_is_told_to(void **state)
{
    struct fixture *f = *state;
    const struct rs_config_retention_rule rule = {.repositories = ALL, .older_than_ms = MS(DAY)};
    const struct run early = {.ends_after = 2};
    for (char tag[] = "a"; tag[0] < 'g'; tag[0]++)
        push_old(f, "r", tag, 20 * DAY);
    struct run *r = run_with(f, &rule, 1, &early);
    assert_in_range(r->report.removed, 1, 2);
    assert_true(is_there(f, "r", "f"));
    end_run(&r);
}

/* --- pushes at the same time --- */

struct pusher {
    struct fixture f;
    int pause_us;
    rs_rc rc;
    char *json;
};

static void *push_again(void *arg)
{
    struct pusher *p = arg;
    nanosleep(&(struct timespec){.tv_nsec = p->pause_us * 1000L}, NULL);
    p->rc = try_put(&p->f, "r", "v1", p->json, NULL);
    return NULL;
}

/* An old tag is pushed while a run is about to remove it: whichever comes first, it is there afterwards. */
static void a_tag_that_is_pushed_meanwhile_survives(void **state)
{
    struct fixture *f = *state;
    struct fixture *other = fixture_second(f);
    const struct rs_config_retention_rule rule = {.repositories = ALL, .older_than_ms = MS(DAY)};
    const char *layer = "layer";
    unsigned spared = 0, removed = 0, kept = 0;
    push_image(f, "r", "v1", "config", layer);
    for (int i = 0; i < 150; i++) {
        struct pusher p = {.f = i % 2 ? *f : *other, .pause_us = i * 13 % 500};
        pthread_t thread;
        p.json = image_json("config", &layer, 1);
        set_back(f, "r", "v1", 20 * DAY);
        nanosleep(&(struct timespec){.tv_nsec = 12 * 1000000}, NULL); /* until the link has a stamp */
        assert_int_equal(pthread_create(&thread, NULL, push_again, &p), 0);
        nanosleep(&(struct timespec){.tv_nsec = i * 29 % 97 * 30000L}, NULL);
        struct run *r = run_with(f, &rule, 1, NULL);
        pthread_join(thread, NULL);
        assert_int_equal(p.rc, RS_OK);
        assert_int_equal(r->report.failed, 0);
        spared += (unsigned)r->report.spared;
        removed += (unsigned)r->report.removed;
        kept += (unsigned)r->report.kept;
        assert_true(is_there(f, "r", "v1"));
        end_run(&r);
        free(p.json);
    }
    print_message("%u removed and made again, %u spared, %u pushed before the look\n", removed, spared, kept);
    fixture_second_free(&other);
}

/* The push comes between the look and the removal. */
static void what_is_pushed_after_the_look_is_spared(void **state)
{
    struct fixture *f = *state;
    struct fixture *other = fixture_second(f);
    const struct rs_config_retention_rule rule = {.repositories = ALL, .older_than_ms = MS(DAY)};
    const char *layer = "layer";
    RS_AUTO(rs_free_ptr) char *json = image_json("config", &layer, 1);
    struct pusher p = {.f = *other, .pause_us = 100000, .json = json};
    pthread_t thread;
    push_image(f, "r", "v1", "config", layer);
    set_back(f, "r", "v1", 20 * DAY);
    nanosleep(&(struct timespec){.tv_nsec = 12 * 1000000}, NULL);
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("remove:nth=1:delay=400"), &f->err));
    assert_int_equal(pthread_create(&thread, NULL, push_again, &p), 0);
    check(f, &rule, 1, NULL, "S r:v1 pushed 20 days ago (older_than: 1 day); but it was pushed again just now\n");
    pthread_join(thread, NULL);
    assert_int_equal(p.rc, RS_OK);
    assert_true(is_there(f, "r", "v1"));
    fixture_second_free(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_last_ones_stay),
        TEST(the_first_rule_holds_and_others_are_left_alone),
        TEST(signatures_live_as_long_as_what_they_sign),
        TEST(what_was_pulled_stays),
        TEST(without_tracking_nothing_goes),
        TEST(a_server_begins_and_confirms_tracking),
        TEST(a_failing_disk_does_not_make_unused),
        TEST(a_broken_tag_stays_and_keeps_no_other),
        TEST(a_repository_that_fails_keeps_no_other),
        TEST(half_a_list_removes_nothing),
        TEST(it_ends_when_it_is_told_to),
        TEST(a_tag_that_is_pushed_meanwhile_survives),
        TEST(what_is_pushed_after_the_look_is_spared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
