/* SPDX-License-Identifier: Apache-2.0 */
/* base/yaml: trees with lines, scalars, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/yaml.h"

struct fixture {
    struct rs_arena *arena;
    struct rs_yaml *root;
    unsigned line;
    struct rs_err err;
};

static rs_rc parse_bytes(struct fixture *f, rs_str text)
{
    rs_arena_free(&f->arena);
    f->arena = rs_arena_new();
    f->root = NULL;
    return rs_yaml_parse(f->arena, "test", text, &f->root, &f->line, &f->err);
}

static rs_rc parse(struct fixture *f, const char *text)
{
    return parse_bytes(f, rs_str_c(text));
}

static int setup(void **state)
{
    *state = rs_calloc(1, sizeof(struct fixture));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rs_arena_free(&f->arena);
    free(f);
    return 0;
}

static void keeps_order_and_lines(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "b: 1\n\na:\n  - x\n  - y: z\n# end\nc: {d: e}\n"), RS_OK);
    const struct rs_yaml *b = f->root->first;
    assert_true(rs_str_eq_c(b->key, "b"));
    assert_int_equal(b->line, 1);
    const struct rs_yaml *a = b->next;
    assert_true(rs_str_eq_c(a->key, "a"));
    assert_int_equal(a->line, 3); /* of the key, not of the list */
    assert_int_equal(a->kind, RS_YAML_LIST);
    assert_int_equal(a->count, 2);
    assert_int_equal(rs_yaml_at(a, 0)->line, 4);
    assert_int_equal(rs_yaml_get(rs_yaml_at(a, 1), "y")->line, 5);
    assert_null(rs_yaml_at(a, 2));
    assert_int_equal(rs_yaml_get(f->root, "c")->line, 7);
    assert_null(rs_yaml_get(f->root, "nothing"));
    assert_null(rs_yaml_get(a, "b"));
}

static void empty_document_is_null(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"", "# only a remark\n", "---\n", "~", "null\n...\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < RS_COUNT(texts); i++) {
        assert_int_equal(parse(f, texts[i]), RS_OK);
        assert_true(rs_yaml_is_null(f->root));
    }
}

/* Editors of other systems write one; it must not count as the first column. */
static void byte_order_mark_is_skipped(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "\xef\xbb\xbfversion: 0.1\nb:\n  c: d\n"), RS_OK);
    assert_int_equal(f->root->count, 2);
    assert_true(rs_str_eq_c(f->root->first->key, "version"));
    assert_int_equal(f->root->first->line, 1);
    assert_int_equal(rs_yaml_get(rs_yaml_get(f->root, "b"), "c")->line, 3);
    assert_int_equal(parse(f, "\xef\xbb\xbf---\na: 1\n"), RS_OK);
    assert_int_equal(parse(f, "\xef\xbb\xbf"
                              "a: 1\nb: 2\na: 3\n"),
                     RS_E_INVALID);
    assert_int_equal(f->line, 3);
}

static void utf16_is_refused_by_name(void **state)
{
    static const rs_str texts[] = {
        {"\xff\xfe"
         "a\0:\0 \0"
         "1\0",
         10}, /* marked: little and big end first */
        {"\xfe\xff\0a\0:\0 \0"
         "1",
         10},
        {"a\0:\0 \0"
         "1\0",
         8}, /* not marked */
        {"\0a\0:\0 \0"
         "1",
         8},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < RS_COUNT(texts); i++) {
        assert_int_equal(parse_bytes(f, texts[i]), RS_E_INVALID);
        assert_int_equal(f->line, 1);
        assert_non_null(strstr(f->err.text, "UTF-16"));
        assert_non_null(strstr(f->err.text, "UTF-8"));
    }
}

static void duplicate_key_names_both_lines(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "a: 1\nb: 2\na: 3\n"), RS_E_INVALID);
    assert_int_equal(f->line, 3);
    assert_non_null(strstr(f->err.text, "\"a\""));
    assert_non_null(strstr(f->err.text, "line 1"));
}

static void errors_have_lines(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
    } cases[] = {
        {"a: 1\nb: [1, 2\n", 3},    /* no end */
        {"a: 1\n\tb: 2\n", 2},      /* a tab */
        {"a: 1\n---\nb: 2\n", 2},   /* a second document */
        {"a: *x\n", 1},             /* no anchor */
        {"a: &x [1, *x]\n", 1},     /* inside itself */
        {"a: 1\nb: !foo 1\n", 2},   /* a tag */
        {"a: 1\n? [x]\n: 2\n", 2},  /* a list as key */
        {"a: 1\nb: \"\\0\"\n", 2},  /* NUL */
        {"a: 1\nb:\n  <<: 5\n", 3}, /* merge of a number */
        {"a: &x {b: 1}\nc: {<<: *x, <<: *x}\n", 2},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < RS_COUNT(cases); i++) {
        assert_int_equal(parse(f, cases[i].text), RS_E_INVALID);
        assert_int_equal(f->line, cases[i].line);
        assert_true(strlen(f->err.text) > 0);
    }
}

static void error_text_holds_no_content(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "password: \"hunter2\n"), RS_E_INVALID);
    assert_null(strstr(f->err.text, "hunter2"));
    assert_int_equal(parse(f, "password: @hunter2\n"), RS_E_INVALID);
    assert_null(strstr(f->err.text, "hunter2"));
}

static void aliases_are_copies(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "a: &x {k: [1, 2]}\nb: *x\nx: &x 3\nc: *x\n"), RS_OK);
    struct rs_yaml *a = rs_yaml_get(rs_yaml_get(f->root, "a"), "k");
    struct rs_yaml *b = rs_yaml_get(rs_yaml_get(f->root, "b"), "k");
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    assert_int_equal(b->count, 2);
    rs_yaml_wipe(a);
    assert_true(rs_str_eq_c(rs_yaml_at(b, 1)->text, "2"));
    assert_true(rs_str_eq_c(rs_yaml_get(f->root, "c")->text, "3")); /* the later anchor */
}

static void merge_fills_up(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 9}\n"), RS_OK);
    const struct rs_yaml *c = rs_yaml_get(f->root, "c");
    assert_int_equal(c->count, 3);
    assert_true(rs_str_eq_c(rs_yaml_get(c, "x")->text, "9"));
    assert_true(rs_str_eq_c(rs_yaml_get(c, "y")->text, "2"));
    assert_true(rs_str_eq_c(rs_yaml_get(c, "z")->text, "4"));
}

static void laughs_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct rs_buf text;
    rs_buf_init(&text, 1 << 16);
    rs_buf_add_c(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        rs_buf_printf(&text, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            rs_buf_printf(&text, "%s*a%d", k > 0 ? ", " : "", i - 1);
        rs_buf_add_c(&text, "]\n");
    }
    assert_int_equal(parse(f, rs_buf_z(&text)), RS_E_TOO_BIG);
    assert_int_equal(f->line, 5);
    rs_buf_release(&text);
}

static void depth_is_bounded(void **state)
{
    struct fixture *f = *state;
    char text[2 * RS_YAML_DEPTH_MAX + 3] = "";
    memset(text, '[', RS_YAML_DEPTH_MAX);
    memset(text + RS_YAML_DEPTH_MAX, ']', RS_YAML_DEPTH_MAX);
    assert_int_equal(parse(f, text), RS_OK);
    memset(text, '[', RS_YAML_DEPTH_MAX + 1);
    memset(text + RS_YAML_DEPTH_MAX + 1, ']', RS_YAML_DEPTH_MAX + 1);
    assert_int_equal(parse(f, text), RS_E_TOO_BIG);
    /* Aliases count too. */
    assert_int_equal(parse(f, "a: &a [[[[[[[[[[[[x]]]]]]]]]]]]\n"
                              "b: &b [[[[[[[[[[[[*a]]]]]]]]]]]]\n"
                              "c: [[[[[[[[[[[[*b]]]]]]]]]]]]\n"),
                     RS_E_TOO_BIG);
    assert_int_equal(f->line, 3);
}

static void size_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct rs_buf text;
    rs_buf_init(&text, 4 * 1024 * 1024);
    char *room = rs_buf_reserve(&text, RS_YAML_BYTES_MAX + 1);
    memset(room, '#', RS_YAML_BYTES_MAX + 1);
    text.len = RS_YAML_BYTES_MAX + 1;
    assert_int_equal(parse(f, rs_buf_z(&text)), RS_E_TOO_BIG);
    text.len = 0;
    for (int i = 0; i < RS_YAML_NODES_MAX; i++)
        rs_buf_add_c(&text, "- x\n");
    assert_int_equal(parse(f, rs_buf_z(&text)), RS_E_TOO_BIG);
    text.len = 0;
    for (int i = 0; i < RS_YAML_KEY_MAX; i++)
        rs_buf_add_char(&text, 'k');
    rs_buf_add_c(&text, ": v");
    assert_int_equal(parse(f, rs_buf_z(&text)), RS_OK);
    text.len -= 3;
    rs_buf_add_c(&text, "k: v");
    assert_int_equal(parse(f, rs_buf_z(&text)), RS_E_TOO_BIG);
    rs_buf_release(&text);
}

static struct rs_yaml scalar(const char *text, bool plain)
{
    return (struct rs_yaml){.kind = RS_YAML_SCALAR, .plain = plain, .text = rs_str_c(text)};
}

static void truths(void **state)
{
    static const char *const yes[] = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"};
    static const char *const no[] = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"};
    static const char *const neither[] = {"", "1", "0", "tRue", "yess", "oN", "t"};
    bool value;
    (void)state;
    for (size_t i = 0; i < RS_COUNT(yes); i++) {
        struct rs_yaml a = scalar(yes[i], true);
        struct rs_yaml b = scalar(no[i], true);
        struct rs_yaml quoted = scalar(yes[i], false);
        assert_true(rs_yaml_bool(&a, &value) && value);
        assert_true(rs_yaml_bool(&b, &value) && !value);
        assert_false(rs_yaml_bool(&quoted, &value));
    }
    for (size_t i = 0; i < RS_COUNT(neither); i++) {
        struct rs_yaml a = scalar(neither[i], true);
        assert_false(rs_yaml_bool(&a, &value));
    }
}

static void whole_numbers(void **state)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {
        {"0", 0},
        {"7", 7},
        {"-7", -7},
        {"+7", 7},
        {"1_000", 1000},
        {"0x1F", 31},
        {"0o17", 15},
        {"017", 15},
        {"0b101", 5},
        {"-0x10", -16},
        {"9223372036854775807", INT64_MAX},
    };
    static const char *const bad[] = {"",    "-",     "x",   "1.5", "0x",  "08", "0b2", "0o8", "9223372036854775808",
                                      "1e3", "1 000", "0xg", "_",   "12k", "--1"};
    int64_t value;
    (void)state;
    for (size_t i = 0; i < RS_COUNT(good); i++) {
        struct rs_yaml node = scalar(good[i].text, true);
        assert_true(rs_yaml_int(&node, &value));
        assert_int_equal(value, good[i].value);
    }
    for (size_t i = 0; i < RS_COUNT(bad); i++) {
        struct rs_yaml node = scalar(bad[i], true);
        assert_false(rs_yaml_int(&node, &value));
    }
}

static void quoted_is_a_string(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "[~, '~', null, \"\", !!str null, ! null]"), RS_OK);
    static const bool null[] = {true, false, true, false, false, false};
    for (size_t i = 0; i < RS_COUNT(null); i++)
        assert_int_equal(rs_yaml_is_null(rs_yaml_at(f->root, i)), null[i]);
    assert_true(rs_yaml_is_null(NULL));
}

static void quotes_read_back(void **state)
{
    static const char *const texts[] = {
        "",         "a",        "true",         "null",         "~",
        "1",        "0x1",      "a b",          "a: b",         "#x",
        "x #y",     "*a",       "&a",           "!t",           "- a",
        "-",        "?",        "%x",           "@x",           "`x",
        "\"q\"",    "back\\sl", "tab\there",    "line\nend",    "\r\n",
        "\x01\x7f", "\xc2\x85", "\xe2\x80\xa8", "\xef\xbb\xbf", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2",
        "/var/lib", "{a}",      "[a]",          "a,b",          "<<",
        "=",        ".5",       "---",          "...",          "no",
        " lead",    "trail ",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < RS_COUNT(texts); i++) {
        struct rs_buf out;
        rs_buf_init(&out, 1024);
        rs_buf_add_c(&out, "[{");
        rs_yaml_quote(&out, rs_str_c(texts[i]));
        rs_buf_add_c(&out, ": ");
        rs_yaml_quote(&out, rs_str_c(texts[i]));
        rs_buf_add_c(&out, "}]");
        assert_int_equal(parse(f, rs_buf_z(&out)), RS_OK);
        const struct rs_yaml *member = f->root->first->first;
        assert_true(rs_str_eq_c(member->key, texts[i]));
        assert_true(rs_str_eq_c(member->text, texts[i]));
        assert_int_equal(member->text.len > 0 && rs_yaml_is_null(member), 0);
        rs_buf_release(&out);
    }
}

static void shown_keys_are_harmless(void **state)
{
    struct rs_buf out;
    char longer[100];
    (void)state;
    memset(longer, 'k', sizeof longer);
    rs_buf_init(&out, 1024);
    rs_yaml_show_key(&out, RS_STR("a\x1b[31m\n\"\xc3\xa4"));
    assert_string_equal(rs_buf_z(&out), "a?[31m????");
    rs_buf_clear(&out);
    rs_yaml_show_key(&out, (rs_str){longer, sizeof longer});
    assert_int_equal(out.len, 63);
    rs_buf_release(&out);
}

static void replace_keeps_place_and_key(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(parse(f, "a: 1\nb: 2\n"), RS_OK);
    struct rs_yaml *one = rs_yaml_new(f->arena, RS_YAML_LIST, "env", 0);
    struct rs_yaml *two = rs_yaml_new(f->arena, RS_YAML_LIST, "env", 0);
    struct rs_yaml *three = rs_yaml_new(f->arena, RS_YAML_LIST, "env", 0);
    rs_yaml_replace(f->root, rs_yaml_get(f->root, "a"), one);
    rs_yaml_replace(f->root, rs_yaml_get(f->root, "b"), two);
    three->key = RS_STR("c");
    rs_yaml_add(f->root, three);
    assert_ptr_equal(f->root->first, one);
    assert_ptr_equal(one->next, two);
    assert_ptr_equal(two->next, three);
    assert_ptr_equal(rs_yaml_get(f->root, "b"), two);
    assert_int_equal(f->root->count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_and_lines),
        cmocka_unit_test(empty_document_is_null),
        cmocka_unit_test(byte_order_mark_is_skipped),
        cmocka_unit_test(utf16_is_refused_by_name),
        cmocka_unit_test(duplicate_key_names_both_lines),
        cmocka_unit_test(errors_have_lines),
        cmocka_unit_test(error_text_holds_no_content),
        cmocka_unit_test(aliases_are_copies),
        cmocka_unit_test(merge_fills_up),
        cmocka_unit_test(laughs_are_bounded),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(truths),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(quoted_is_a_string),
        cmocka_unit_test(quotes_read_back),
        cmocka_unit_test(shown_keys_are_harmless),
        cmocka_unit_test(replace_keeps_place_and_key),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
