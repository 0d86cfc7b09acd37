/* SPDX-License-Identifier: Apache-2.0 */
/* One value: from a node of the tree to a field of the snapshot. */
#include "base/clock.h"
#include "config/config_priv.h"

static rs_rc bad(struct rs_err *err, const struct config_key *key, const struct rs_yaml *node, const char *wanted)
{
    if (node->kind != RS_YAML_SCALAR || (key->flags & KEY_SECRET) != 0)
        return rs_err_set(err, RS_E_INVALID, "needs %s", wanted);
    struct rs_buf shown;
    rs_buf_init(&shown, 256);
    rs_yaml_show_key(&shown, node->text);
    rs_rc rc = rs_err_set(err, RS_E_INVALID, "needs %s, not \"%s\"", wanted, rs_buf_z(&shown));
    rs_buf_release(&shown);
    return rc;
}

static bool scale(rs_str unit, uint64_t *out)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = {{"", 0},     {"B", 0},  {"K", 10},   {"KiB", 10}, {"M", 20},
                 {"MiB", 20}, {"G", 30}, {"GiB", 30}, {"T", 40},   {"TiB", 40}};
    for (size_t i = 0; i < RS_COUNT(units); i++)
        if (rs_str_eq_nocase(unit, rs_str_c(units[i].unit))) {
            *out = (uint64_t)1 << units[i].shift;
            return true;
        }
    return false;
}

static bool parse_size(rs_str s, uint64_t *out)
{
    size_t digits = 0;
    while (digits < s.len && s.ptr[digits] >= '0' && s.ptr[digits] <= '9')
        digits++;
    uint64_t number;
    uint64_t unit;
    if (!rs_str_u64(rs_str_sub(s, 0, digits), INT64_MAX, &number) ||
        !scale(rs_str_trim(rs_str_from(s, digits)), &unit) || number > INT64_MAX / unit)
        return false;
    *out = number * unit;
    return true;
}

/* A number, size or duration as one integer. */
static bool parse_number(enum key_type type, const struct rs_yaml *node, int64_t *out)
{
    uint64_t size;
    if (node->kind != RS_YAML_SCALAR)
        return false;
    if (type == KEY_INT)
        return rs_yaml_int(node, out);
    if (type == KEY_DURATION)
        return rs_duration_parse(node->text, out);
    if (!parse_size(node->text, &size))
        return false;
    *out = (int64_t)size;
    return true;
}

static bool parse_bound(enum key_type type, rs_str text, int64_t *out)
{
    struct rs_yaml node = {.kind = RS_YAML_SCALAR, .plain = true, .text = text};
    return parse_number(type, &node, out);
}

static bool in_range(const struct config_key *key, int64_t value)
{
    const char *dots = strstr(key->values, "..");
    if (dots == NULL)
        return true;
    int64_t low = 0;
    int64_t high = 0;
    RS_ASSERT(parse_bound(key->type, (rs_str){key->values, (size_t)(dots - key->values)}, &low));
    RS_ASSERT(parse_bound(key->type, rs_str_c(dots + 2), &high));
    return value >= low && value <= high;
}

static rs_rc read_number(const struct config_key *key, const struct rs_yaml *node, void *field, struct rs_err *err)
{
    int64_t value;
    const char *wanted = key->type == KEY_INT    ? "a whole number"
                         : key->type == KEY_SIZE ? "a size such as 64KiB"
                                                 : "a time with its unit such as 30s";
    if (!parse_number(key->type, node, &value))
        return bad(err, key, node, wanted);
    if (!in_range(key, value))
        return rs_err_set(err, RS_E_INVALID, "is out of range: %s", key->values);
    if (field != NULL && key->type == KEY_DURATION)
        *(int64_t *)field = value;
    else if (field != NULL)
        *(uint64_t *)field = value < 0 ? 0 : (uint64_t)value;
    return RS_OK;
}

static rs_rc read_bool(const struct config_key *key, const struct rs_yaml *node, void *field, struct rs_err *err)
{
    bool value;
    if (!rs_yaml_bool(node, &value))
        return bad(err, key, node, "true or false, without quotes");
    if (field != NULL)
        *(bool *)field = value;
    return RS_OK;
}

static rs_rc read_enum(const struct config_key *key, const struct rs_yaml *node, void *field, struct rs_err *err)
{
    rs_str words = rs_str_c(key->values);
    rs_str word;
    for (unsigned i = 0; node->kind == RS_YAML_SCALAR && words.len > 0; i++) {
        rs_str_cut(words, '|', &word, &words);
        if (!rs_str_eq_nocase(word, node->text))
            continue;
        if (field != NULL)
            memcpy(field, &i, sizeof i);
        return RS_OK;
    }
    char wanted[128];
    snprintf(wanted, sizeof wanted, "one of %s", key->values);
    return bad(err, key, node, wanted);
}

static rs_rc read_string(struct rs_arena *arena, const struct config_key *key, const struct rs_yaml *node, void *field,
                         struct rs_err *err)
{
    if (node->kind != RS_YAML_SCALAR)
        return bad(err, key, node, "one value");
    /* An empty string is as good as none: the default stays. */
    if (field != NULL && node->text.len > 0)
        *(const char **)field = (key->flags & KEY_SECRET) != 0 ? node->text.ptr : rs_arena_z(arena, node->text);
    return RS_OK;
}

struct rs_config_list config_value_list(struct rs_arena *arena, const struct rs_yaml *node)
{
    struct rs_config_list list = {NULL, 0};
    if (rs_yaml_is_null(node))
        return list;
    size_t max = node->kind == RS_YAML_LIST ? node->count : 1;
    list.items = rs_arena_zalloc(arena, (max + 1) * sizeof *list.items);
    for (const struct rs_yaml *n = node->kind == RS_YAML_LIST ? node->first : node; n != NULL; n = n->next) {
        list.items[list.count++] = rs_arena_z(arena, n->text);
        if (node->kind != RS_YAML_LIST)
            break;
    }
    return list;
}

static bool is_list(const struct rs_yaml *node)
{
    if (node->kind == RS_YAML_LIST)
        for (const struct rs_yaml *item = node->first; item != NULL; item = item->next)
            if (item->kind != RS_YAML_SCALAR)
                return false;
    return node->kind != RS_YAML_MAP;
}

static rs_rc read_list(struct rs_arena *arena, const struct config_key *key, const struct rs_yaml *node, void *field,
                       struct rs_err *err)
{
    if (!is_list(node))
        return bad(err, key, node, "a list of strings");
    if (field != NULL)
        *(struct rs_config_list *)field = config_value_list(arena, node);
    return RS_OK;
}

/* Names with values; finish.c makes them part of the snapshot. */
static rs_rc read_names(const struct config_key *key, const struct rs_yaml *node, struct rs_err *err)
{
    if (node->kind != RS_YAML_MAP)
        return bad(err, key, node, "names with values");
    for (const struct rs_yaml *child = node->first; child != NULL; child = child->next)
        if (key->type == KEY_HEADERS && !is_list(child))
            return bad(err, key, child, "a list of strings for each name");
    return RS_OK;
}

static rs_rc read_into(struct rs_arena *arena, const struct config_key *key, const struct rs_yaml *node, void *field,
                       struct rs_err *err)
{
    if (rs_yaml_is_null(node))
        return RS_OK;
    switch (key->type) {
    case KEY_BOOL:
        return read_bool(key, node, field, err);
    case KEY_INT:
    case KEY_SIZE:
    case KEY_DURATION:
        return read_number(key, node, field, err);
    case KEY_STRING:
        return read_string(arena, key, node, field, err);
    case KEY_ENUM:
        return read_enum(key, node, field, err);
    case KEY_LIST:
        return read_list(arena, key, node, field, err);
    case KEY_FIELDS:
    case KEY_HEADERS:
        return read_names(key, node, err);
    case KEY_SECTION:
    case KEY_ITEMS:
    case KEY_OPTIONS:
        break;
    }
    return RS_OK;
}

rs_rc config_value_read(struct rs_arena *arena, const struct config_key *key, const struct rs_yaml *node,
                        struct rs_config *config, struct rs_err *err)
{
    void *field = config != NULL && key->field != KEY_NO_FIELD ? (char *)config + key->field : NULL;
    return read_into(arena, key, node, field, err);
}

void config_value_default(struct rs_arena *arena, const struct config_key *key, struct rs_config *config)
{
    struct rs_err err;
    struct rs_yaml node = {.kind = RS_YAML_SCALAR, .plain = true, .text = rs_str_c(key->fallback)};
    if (key->field != KEY_NO_FIELD && key->type == KEY_STRING)
        *(const char **)((char *)config + key->field) = key->fallback;
    else
        RS_ASSERT(config_value_read(arena, key, &node, config, &err) == RS_OK);
}

void config_item_read(struct config_load *l, const struct rs_yaml *item, const char *path, void *field)
{
    const struct config_key *key = config_key_find(path);
    const struct rs_yaml *node = rs_yaml_get(item, config_key_name(key));
    struct rs_yaml fallback = {.kind = RS_YAML_SCALAR, .plain = true, .text = rs_str_c(key->fallback)};
    struct rs_err err;
    if (key->type == KEY_STRING)
        *(const char **)field = key->fallback;
    if (rs_yaml_is_null(node))
        node = &fallback;
    RS_ASSERT(read_into(l->arena, key, node, field, &err) == RS_OK);
}
