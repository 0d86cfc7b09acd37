/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/tbl/config.def: that it is sound, and that docs/CONFIGURATION.md holds what follows from it. With the argument
 * "--print" this program prints that part of the page, to be pasted between its two marks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io.h"
#include "config/config_priv.h"

static const char *type_name(const struct config_key *key)
{
    static const char *const names[] = {
        [KEY_SECTION] = "section",
        [KEY_ITEMS] = "list of sections",
        [KEY_BOOL] = "true, false",
        [KEY_INT] = "number",
        [KEY_SIZE] = "size",
        [KEY_DURATION] = "time",
        [KEY_STRING] = "string",
        [KEY_ENUM] = NULL,
        [KEY_LIST] = "list of strings",
        [KEY_FIELDS] = "names: value",
        [KEY_HEADERS] = "names: list",
        [KEY_OPTIONS] = "any keys",
    };
    return key->type == KEY_ENUM ? key->values : names[key->type];
}

static void add_words(struct rs_buf *out, const char *words)
{
    for (; *words != '\0'; words++)
        if (*words == '|')
            rs_buf_add_c(out, "`, `");
        else
            rs_buf_add_char(out, *words);
}

static void add_row(struct rs_buf *out, const struct config_key *key)
{
    static const char *const statuses[] = {
        [KEY_HONOURED] = "honoured", [KEY_QUIET] = "no effect", [KEY_WARNED] = "warns", [KEY_REFUSED] = "refused"};
    rs_buf_printf(out, "| `%s` | ", key->path);
    if (key->type == KEY_ENUM) {
        rs_buf_add_char(out, '`');
        add_words(out, key->values);
        rs_buf_add_char(out, '`');
    } else {
        rs_buf_add_c(out, type_name(key));
    }
    bool range = key->type != KEY_ENUM && key->values[0] != '\0' && key->values[0] != '-';
    rs_buf_printf(out, "%s%s | ", range ? ", " : "", range ? key->values : "");
    if (key->fallback[0] != '\0')
        rs_buf_printf(out, "`%s`", key->fallback);
    rs_buf_printf(out, " | %s%s | %s", statuses[config_key_status(key)],
                  (key->flags & KEY_SECRET) != 0 ? ", secret" : "", key->doc);
    if (key->note[0] != '\0')
        rs_buf_printf(out, ". *%s*", key->note);
    rs_buf_add_c(out, " |\n");
}

static void generate(struct rs_buf *out)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        bool top = strchr(key->path, '.') == NULL;
        if (top)
            rs_buf_printf(out, "%s### `%s`\n\n| key | value | default | status | meaning |\n|---|---|---|---|---|\n",
                          i > 0 ? "\n" : "", key->path);
        add_row(out, key);
    }
}

static void page_holds_the_table(void **state)
{
    struct rs_buf page;
    struct rs_buf part;
    struct rs_err err;
    (void)state;
    rs_buf_init(&page, 1 << 20);
    rs_buf_init(&part, 1 << 20);
    assert_int_equal(rs_read_file(CONFIGURATION_MD, &page, &err), RS_OK);
    generate(&part);
    const char *from = strstr(rs_buf_z(&page), "<!-- keys -->\n");
    const char *to = strstr(rs_buf_z(&page), "<!-- end of keys -->");
    assert_non_null(from);
    assert_non_null(to);
    from += strlen("<!-- keys -->\n");
    page.ptr[to - page.ptr] = '\0';
    if (strcmp(from, rs_buf_z(&part)) != 0)
        print_error("docs/CONFIGURATION.md is behind src/tbl/config.def: run this test with --print\n");
    assert_string_equal(from, rs_buf_z(&part));
    rs_buf_release(&page);
    rs_buf_release(&part);
}

static void paths_are_unique_and_nested(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        char parent[128];
        assert_ptr_equal(config_key_find(key->path), key);
        snprintf(parent, sizeof parent, "%s", key->path);
        char *dot = strrchr(parent, '.');
        if (dot == NULL)
            continue;
        *dot = '\0';
        size_t len = strlen(parent);
        bool items = len > 2 && strcmp(parent + len - 2, "[]") == 0;
        if (items)
            parent[len - 2] = '\0';
        const struct config_key *section = config_key_find(parent);
        assert_non_null(section);
        assert_true(section < key);
        assert_int_equal(section->type, items ? KEY_ITEMS : KEY_SECTION);
        assert_ptr_equal(config_key_child(section, rs_str_c(config_key_name(key))), key);
    }
}

static void rows_make_sense(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        bool has_note = key->status == KEY_WARNED || key->status == KEY_REFUSED;
        assert_int_equal(key->note[0] != '\0', has_note);
        assert_true(key->doc[0] != '\0');
        assert_null(strpbrk(key->doc, "\n|"));
        assert_int_equal(key->type == KEY_ENUM, strchr(key->values, '|') != NULL);
        assert_true(key->status != KEY_INSIDE || strchr(key->path, '.') != NULL);
        if ((key->flags & KEY_STRICT) != 0)
            assert_true(key->type == KEY_SECTION || key->type == KEY_ITEMS);
        if (key->field != KEY_NO_FIELD)
            assert_true(key->field < sizeof(struct rs_config));
    }
}

/* Every default of a value is a value. */
static void defaults_are_valid(void **state)
{
    struct rs_arena *arena = rs_arena_new();
    struct rs_config config = {.priv = NULL};
    (void)state;
    for (size_t i = 0; i < config_key_count; i++)
        config_value_default(arena, &config_keys[i], &config); /* asserts it */
    assert_string_equal(config.http.addr, "127.0.0.1:5000");
    rs_arena_free(&arena);
}

static void secrets_are_marked(void **state)
{
    static const char *const words[] = {"password", "secret", "secretkey", "accesskey", "privatekey", "username"};
    (void)state;
    for (size_t i = 0; i < config_key_count; i++)
        for (size_t k = 0; k < RS_COUNT(words); k++)
            if (strcmp(config_key_name(&config_keys[i]), words[k]) == 0)
                assert_true((config_keys[i].flags & KEY_SECRET) != 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_holds_the_table), cmocka_unit_test(paths_are_unique_and_nested),
        cmocka_unit_test(rows_make_sense),      cmocka_unit_test(defaults_are_valid),
        cmocka_unit_test(secrets_are_marked),
    };
    if (argc > 1 && strcmp(argv[1], "--print") == 0) {
        struct rs_buf out;
        rs_buf_init(&out, 1 << 20);
        generate(&out);
        fwrite(out.ptr, 1, out.len, stdout);
        rs_buf_release(&out);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
