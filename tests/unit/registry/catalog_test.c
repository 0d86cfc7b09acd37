/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <unistd.h>

#include "base/mem.h"

struct seen {
    struct rs_buf names; /* each followed by a space */
    int stop_after;      /* -1: never */
};

static bool see(void *ctx, rs_str name)
{
    struct seen *s = ctx;
    rs_buf_add(&s->names, name);
    rs_buf_add_char(&s->names, ' ');
    return s->stop_after < 0 || --s->stop_after > 0;
}

static void assert_catalog(struct fixture *f, const char *last, int stop_after, const char *want)
{
    struct seen s = {.stop_after = stop_after};
    rs_buf_init(&s.names, 1024 * 1024);
    assert_ok(f, rs_catalog_list(f->registry, rs_str_c(last), see, &s, &f->err));
    assert_string_equal(rs_buf_z(&s.names), want);
    rs_buf_release(&s.names);
}

static void assert_tags(struct fixture *f, const char *last, int stop_after, const char *want)
{
    struct seen s = {.stop_after = stop_after};
    rs_buf_init(&s.names, 1024 * 1024);
    assert_ok(f, rs_tags_list(f->registry, RS_STR("r"), rs_str_c(last), see, &s, &f->err));
    assert_string_equal(rs_buf_z(&s.names), want);
    rs_buf_release(&s.names);
}

static void make_repository(struct fixture *f, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "repositories/%s/_manifests/revisions/x", name);
    fixture_write_c(f, path, "");
}

static void make_tag(struct fixture *f, const char *tag)
{
    char path[512];
    snprintf(path, sizeof path, "repositories/r/_manifests/tags/%s/current/link", tag);
    fixture_write_c(f, path, "sha256:…");
}

static void test_empty(void **state)
{
    struct fixture *f = *state;
    assert_catalog(f, "", -1, "");
    assert_catalog(f, "x", -1, "");
}

static void make_some(struct fixture *f)
{
    static const char *const names[] = {"a",   "a-b",     "a/b",       "a/b-c", "a/b/c", "a0",
                                        "b/c", "b/c/d/e", "b/c/d/e/f", "ab",    "0z",    "z.z/y_y"};
    for (size_t i = 0; i < RS_COUNT(names); i++)
        make_repository(f, names[i]);
    fixture_write_c(f, "repositories/uploads/only/_uploads/x/startedat", "");
    fixture_write_c(f, "repositories/blobs/only/_layers/sha256/x/link", "");
    fixture_write_c(f, "repositories/a/_roadstead/_manifests/x", "");
    fixture_write_c(f, "repositories/UPPER/_manifests/x", "");
    fixture_write_c(f, "repositories/file", "");
    fixture_write_c(f, "repositories/a/_manifests/tags/v1/_manifests/x", "");
}

#define ALL "0z a a/b a/b/c a/b-c a-b a0 ab b/c b/c/d/e b/c/d/e/f z.z/y_y "

static void test_order(void **state)
{
    struct fixture *f = *state;
    make_some(f);
    assert_catalog(f, "", -1, ALL);
    assert_catalog(f, "", 3, "0z a a/b ");
    assert_catalog(f, "", 1, "0z ");
    assert_catalog(f, "a", 1, "a/b ");
}

/* Pages of one: each answer is the next question. Names that are not there, and what no name is, have a place too. */
static void test_last(void **state)
{
    struct fixture *f = *state;
    make_some(f);
    RS_AUTO(rs_free_ptr) char *all = rs_strdup(ALL);
    const char *rest = ALL;
    for (char *name = all, *space; (space = strchr(name, ' ')) != NULL; name = space + 1) {
        *space = '\0';
        rest += strlen(name) + 1;
        assert_catalog(f, name, -1, rest);
    }
    assert_catalog(f, "a/", -1, "a/b a/b/c a/b-c a-b a0 ab b/c b/c/d/e b/c/d/e/f z.z/y_y ");
    assert_catalog(f, "a/a/x/y/z", -1, "a/b a/b/c a/b-c a-b a0 ab b/c b/c/d/e b/c/d/e/f z.z/y_y ");
    assert_catalog(f, "a/b/zzz", -1, "a/b-c a-b a0 ab b/c b/c/d/e b/c/d/e/f z.z/y_y ");
    assert_catalog(f, "b", -1, "b/c b/c/d/e b/c/d/e/f z.z/y_y ");
    assert_catalog(f, "b/c/d", -1, "b/c/d/e b/c/d/e/f z.z/y_y ");
    assert_catalog(f, "b/c/d/e/f/g/h", -1, "z.z/y_y ");
    assert_catalog(f, "zz", -1, "");
    assert_catalog(f, "z.z/y_y/_manifests/tags", -1, "");
}

static void test_last_is_a_strangers(void **state)
{
    struct fixture *f = *state;
    char longest[4000];
    make_some(f);
    memset(longest, 'a', sizeof longest);
    for (size_t i = 1; i < sizeof longest; i += 2)
        longest[i] = '/';
    longest[sizeof longest - 1] = '\0';
    assert_catalog(f, longest, -1, "a/b a/b/c a/b-c a-b a0 ab b/c b/c/d/e b/c/d/e/f z.z/y_y ");
    memset(longest, 'a', sizeof longest - 1);
    assert_catalog(f, longest, -1, "ab b/c b/c/d/e b/c/d/e/f z.z/y_y ");
    assert_catalog(f, "../../..", -1, ALL);
    assert_catalog(f, "/", -1, ALL);
    assert_catalog(f, "//a", -1, ALL);
    assert_catalog(f, "a//b", -1, "a/b a/b/c a/b-c a-b a0 ab b/c b/c/d/e b/c/d/e/f z.z/y_y ");
    assert_catalog(f, "\xff", -1, "");
    assert_catalog(f, "A B", -1, "a a/b a/b/c a/b-c a-b a0 ab b/c b/c/d/e b/c/d/e/f z.z/y_y ");
}

static void test_deep(void **state)
{
    struct fixture *f = *state;
    char name[RS_NAME_MAX + 3], want[RS_NAME_MAX + 8];
    memset(name, 'd', sizeof name);
    for (size_t i = 1; i < sizeof name; i += 2)
        name[i] = '/';
    name[RS_NAME_MAX + 2] = '\0'; /* one component too long */
    make_repository(f, name);
    name[RS_NAME_MAX] = '\0';
    make_repository(f, name);
    snprintf(want, sizeof want, "%s ", name);
    assert_catalog(f, "", -1, want);
    assert_catalog(f, name, -1, "");
}

static void test_pushed_ones_are_listed(void **state)
{
    struct fixture *f = *state;
    push_image(f, "team/app", "v1", "config", "layer");
    push_text(f, "team/lib", "only a blob");
    assert_catalog(f, "", -1, "team/app ");
}

static void test_errors_are_told(void **state)
{
    struct fixture *f = *state;
    struct seen s = {.stop_after = -1};
    make_some(f);
    static const char *const plans[] = {"list:nth=1", "list:nth=4", "stat:nth=3"};
    for (size_t i = 0; i < RS_COUNT(plans); i++) {
        rs_buf_init(&s.names, 1024);
        rs_storage_faulty_clear(f->storage);
        assert_ok(f, rs_storage_faulty_parse(f->storage, rs_str_c(plans[i]), &f->err));
        assert_rc(f, RS_E_IO, rs_catalog_list(f->registry, RS_STR(""), see, &s, &f->err));
        rs_buf_release(&s.names);
    }
}

static void make_link(struct fixture *f, const char *target, const char *path)
{
    char full[512];
    snprintf(full, sizeof full, "%s/docker/registry/v2/repositories/%s", f->root, path);
    assert_int_equal(symlink(target, full), 0);
}

/* One broken entry must not hide the rest. */
static void test_broken_entries_are_passed_over(void **state)
{
    struct fixture *f = *state;
    make_repository(f, "a");
    make_repository(f, "b/x");
    make_repository(f, "z");
    make_link(f, "self", "self");
    make_link(f, "..", "a/up");
    make_link(f, ".", "b/here");
    make_link(f, "nowhere", "b/gone");
    make_link(f, "../z", "b/z"); /* a part of the tree that lies elsewhere */
    fixture_write_c(f, "repositories/m/x", "");
    make_link(f, "_manifests", "m/_manifests");
    fixture_write_c(f, "repositories/n/_manifests", "a file");
    assert_catalog(f, "", -1, "a b/x b/z z ");
    assert_catalog(f, "self/x", -1, "z ");
}

static void test_tags(void **state)
{
    struct fixture *f = *state;
    struct seen s = {.stop_after = -1};
    rs_buf_init(&s.names, 1024);
    assert_rc(f, RS_E_NAME_UNKNOWN, rs_tags_list(f->registry, RS_STR("r"), RS_STR(""), see, &s, &f->err));
    make_repository(f, "r");
    assert_tags(f, "", -1, "");
    static const char *const tags[] = {"v2", "v10", "v1", "latest", "V1", "_x", "1"};
    for (size_t i = 0; i < RS_COUNT(tags); i++)
        make_tag(f, tags[i]);
    make_tag(f, "-bad");
    fixture_write_c(f, "repositories/r/_manifests/tags/half/index/sha256/x/link", "");
    fixture_write_c(f, "repositories/r/_manifests/tags/file", "");
    assert_tags(f, "", -1, "1 V1 _x latest v1 v10 v2 ");
    assert_tags(f, "", 2, "1 V1 ");
    assert_tags(f, "latest", -1, "v1 v10 v2 ");
    assert_tags(f, "m", 1, "v1 ");
    assert_tags(f, "v2", -1, "");
    assert_tags(f, "../..", -1, "1 V1 _x latest v1 v10 v2 ");
    rs_buf_release(&s.names);
}

/* --- at scale --- */

/* Until what was changed is old enough to be believed. */
static void settle(void)
{
    usleep(30000);
}

static uint64_t calls(struct fixture *f, enum rs_faulty_call call)
{
    return rs_storage_faulty_calls(f->storage, call);
}

/* What a warm page costs does not depend on what stands beside it: a look at each name, and at each level. */
static void test_a_warm_page_looks_at_its_names_only(void **state)
{
    struct fixture *f = *state;
    char name[32], tag[32];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "t/%03d", i);
        make_repository(f, name);
        snprintf(tag, sizeof tag, "%03d", i);
        make_tag(f, tag);
    }
    settle();
    assert_catalog(f, "t/100", 5, "t/101 t/102 t/103 t/104 t/105 ");
    assert_tags(f, "100", 5, "101 102 103 104 105 ");
    rs_storage_faulty_clear(f->storage);
    assert_catalog(f, "t/100", 5, "t/101 t/102 t/103 t/104 t/105 ");
    assert_int_equal(calls(f, RS_FAULTY_LIST), 0);
    assert_int_equal(calls(f, RS_FAULTY_STAT), 7); /* t, and t/100 itself, which is last's own level */
    rs_storage_faulty_clear(f->storage);
    assert_tags(f, "100", 5, "101 102 103 104 105 ");
    assert_int_equal(calls(f, RS_FAULTY_LIST), 0);
    assert_int_equal(calls(f, RS_FAULTY_STAT), 6);
}

/* Each change in the place where it is least expected: below what was a leaf, within what was only a way. */
static void test_what_changes_is_listed_at_once(void **state)
{
    struct fixture *f = *state;
    for (int settled = 0; settled < 2; settled++) {
        make_repository(f, "leaf");
        make_repository(f, "way/to");
        fixture_write_c(f, "repositories/empty/_uploads/x/startedat", "");
        const struct {
            const char *add;
            const char *remove;
            const char *want;
        } steps[] = {
            {NULL, NULL, "leaf way/to "},
            {"leaf/below/it", NULL, "leaf leaf/below/it way/to "},
            {"way", NULL, "leaf leaf/below/it way way/to "},
            {"empty", NULL, "empty leaf leaf/below/it way way/to "},
            {NULL, "leaf/_manifests", "empty leaf/below/it way way/to "},
            {"way/to/the/end", NULL, "empty leaf/below/it way way/to way/to/the/end "},
            {NULL, "way/to/_manifests", "empty leaf/below/it way way/to/the/end "},
            {NULL, "leaf/below", "empty way way/to/the/end "},
            {NULL, "way/to", "empty way "},
            {"leaf", "way", "empty leaf "},
            {NULL, "leaf", "empty "},
            {NULL, "empty", ""},
        };
        for (size_t i = 0; i < RS_COUNT(steps); i++) {
            char path[512];
            if (steps[i].add != NULL)
                make_repository(f, steps[i].add);
            snprintf(path, sizeof path, "repositories/%s", steps[i].remove != NULL ? steps[i].remove : "");
            if (steps[i].remove != NULL)
                fixture_remove(f, path);
            if (settled)
                settle();
            for (int again = 0; again < 2; again++)
                assert_catalog(f, "", -1, steps[i].want);
        }
    }
}

static char *whole_catalog(struct fixture *f)
{
    struct seen s = {.stop_after = -1};
    rs_buf_init(&s.names, 1024 * 1024);
    assert_ok(f, rs_catalog_list(f->registry, RS_STR(""), see, &s, &f->err));
    char *names = rs_strdup(rs_buf_z(&s.names));
    rs_buf_release(&s.names);
    return names;
}

/* Repositories come and go by chance; a registry that has seen nothing before must find the same. */
static void test_the_same_as_without_memory(void **state)
{
    struct fixture *f = *state;
    unsigned random = 1;
    for (int step = 0; step < 400; step++) {
        char name[64] = "", path[128];
        random = random * 1103515245 + 12345;
        unsigned bits = random >> 8, depth = 1 + bits % 3;
        for (unsigned level = 0; level < depth; level++)
            snprintf(name + strlen(name), sizeof name - strlen(name), "%s%c", level > 0 ? "/" : "",
                     "abc"[bits >> (4 + 4 * level) & 1 ? 1 : bits >> (5 + 4 * level) & 2]);
        snprintf(path, sizeof path, "repositories/%s%s", name, bits & 1 << 20 ? "/_manifests" : "");
        if ((bits & 1 << 21) == 0)
            make_repository(f, name);
        else if (fixture_exists(f, path))
            fixture_remove(f, path);
        if ((bits & 7 << 17) == 0)
            settle();
        struct fixture *fresh = fixture_second(f);
        RS_AUTO(rs_free_ptr) char *want = whole_catalog(fresh);
        RS_AUTO(rs_free_ptr) char *got = whole_catalog(f);
        assert_string_equal(got, want);
        fixture_second_free(&fresh);
    }
}

static void test_a_tag_that_cannot_be_looked_at_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct seen s = {.stop_after = -1};
    rs_buf_init(&s.names, 1024);
    make_tag(f, "a");
    make_tag(f, "b");
    settle();
    assert_tags(f, "", -1, "a b ");
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("stat:nth=3"), &f->err));
    assert_rc(f, RS_E_IO, rs_tags_list(f->registry, RS_STR("r"), RS_STR(""), see, &s, &f->err));
    rs_buf_release(&s.names);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_empty),
        TEST(test_order),
        TEST(test_last),
        TEST(test_last_is_a_strangers),
        TEST(test_deep),
        TEST(test_pushed_ones_are_listed),
        TEST(test_errors_are_told),
        TEST(test_broken_entries_are_passed_over),
        TEST(test_tags),
        TEST(test_a_warm_page_looks_at_its_names_only),
        TEST(test_what_changes_is_listed_at_once),
        TEST(test_the_same_as_without_memory),
        TEST(test_a_tag_that_cannot_be_looked_at_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
