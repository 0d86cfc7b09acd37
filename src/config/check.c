/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree against the table. THE RULE for what is unknown or not honoured: where it could restrict access or touch
 * durability (a REFUSED key, an unknown key in a STRICT section), an error; otherwise a warning.
 */
#include "config/config_priv.h"

static void check_node(struct config_load *l, const struct config_key *key, const struct rs_yaml *node,
                       const char *path);

/* "enabled: false", also by default, or "disabled: true", where the table knows such a key. What is no bool is on. */
static bool is_off(const struct config_key *key, const struct rs_yaml *map)
{
    const struct config_key *enabled = config_key_child(key, RS_STR("enabled"));
    const struct rs_yaml *node = rs_yaml_get(map, "enabled");
    bool value;
    if (enabled != NULL && enabled->fallback[0] != '\0') {
        if (rs_yaml_is_null(node))
            return strcmp(enabled->fallback, "false") == 0;
        if (rs_yaml_bool(node, &value) && !value)
            return true;
    }
    node = rs_yaml_get(map, "disabled");
    return config_key_child(key, RS_STR("disabled")) != NULL && node != NULL && rs_yaml_bool(node, &value) && value;
}

static bool is_default(const struct config_key *key, const struct rs_yaml *node)
{
    struct rs_yaml fallback = {.kind = RS_YAML_SCALAR, .plain = true, .text = rs_str_c(key->fallback)};
    bool a;
    bool b;
    if (key->type == KEY_BOOL && rs_yaml_bool(node, &a))
        return rs_yaml_bool(&fallback, &b) && a == b;
    return rs_yaml_is_null(node) || node->text.len == 0 || rs_str_eq(node->text, fallback.text);
}

static bool is_map_set(const struct config_key *key, const struct rs_yaml *map)
{
    if (is_off(key, map))
        return false;
    for (const struct rs_yaml *child = map->first; child != NULL; child = child->next) {
        const struct config_key *k = config_key_child(key, child->key);
        if (k == NULL || config_is_set(k, child))
            return true;
    }
    return false;
}

static bool is_list_set(const struct config_key *key, const struct rs_yaml *list)
{
    if (key->type != KEY_ITEMS)
        return list->count > 0;
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next)
        if (item->kind != RS_YAML_MAP || is_map_set(key, item))
            return true;
    return false;
}

bool config_is_set(const struct config_key *key, const struct rs_yaml *node)
{
    if ((key->flags & KEY_PRESENT) != 0)
        return true;
    if (key->status == KEY_QUIET)
        return false;
    if (node->kind == RS_YAML_SCALAR)
        return !is_default(key, node);
    if (node->kind == RS_YAML_LIST)
        return is_list_set(key, node);
    return key->type == KEY_SECTION ? is_map_set(key, node) : node->count > 0;
}

/* Where a section was made what it is: a variable may have put a key into a section of the file. */
static const struct rs_yaml *culprit(const struct config_key *key, const struct rs_yaml *node)
{
    if (node->kind != RS_YAML_MAP || key->type != KEY_SECTION || (key->flags & KEY_PRESENT) != 0)
        return node;
    for (const struct rs_yaml *child = node->first; child != NULL; child = child->next) {
        const struct config_key *k = config_key_child(key, child->key);
        if (k == NULL || config_is_set(k, child))
            return child->origin == node->origin ? node : child;
    }
    return node;
}

static const char *child_path(struct config_load *l, const char *path, rs_str name)
{
    struct rs_buf shown;
    rs_buf_init(&shown, 256);
    rs_yaml_show_key(&shown, name.len > 0 ? name : RS_STR("(empty)"));
    rs_str s = rs_arena_printf(l->arena, "%s%s%s", path, path[0] == '\0' ? "" : ".", rs_buf_z(&shown));
    rs_buf_release(&shown);
    return s.ptr;
}

/* A key that differs from a known one by its case alone. */
static const struct config_key *near(const struct config_key *section, rs_str name)
{
    const struct config_key *key = NULL;
    while ((key = config_key_next(section, key)) != NULL)
        if (rs_str_eq_nocase(name, rs_str_c(config_key_name(key))))
            return key;
    return NULL;
}

static const char *known_names(struct config_load *l, const struct config_key *section)
{
    rs_str names = RS_STR("");
    const struct config_key *key = NULL;
    while ((key = config_key_next(section, key)) != NULL)
        names =
            rs_arena_printf(l->arena, "%.*s%s%s", RS_STR_ARG(names), names.len > 0 ? ", " : "", config_key_name(key));
    return names.ptr;
}

static void unknown(struct config_load *l, const struct config_key *section, const struct rs_yaml *node,
                    const char *path)
{
    const struct config_key *meant = near(section, node->key);
    bool strict = section != NULL && (section->flags & KEY_STRICT) != 0;
    if (meant != NULL && (strict || config_key_restricts(meant)))
        config_error(l, node, path, "is not known; \"%s\" is, in lower case", config_key_name(meant));
    else if (strict)
        config_error(l, node, path, "is not known; known here: %s", known_names(l, section));
    else
        config_warn(l, node, path, "is not known and has no effect");
}

static void check_section(struct config_load *l, const struct config_key *key, const struct rs_yaml *node,
                          const char *path)
{
    if (rs_yaml_is_null(node))
        return;
    if (node->kind != RS_YAML_MAP) {
        config_error(l, node, path, "needs a section with keys of its own");
        return;
    }
    for (const struct rs_yaml *child = node->first; child != NULL; child = child->next) {
        const struct config_key *k = config_key_child(key, child->key);
        const char *at = child_path(l, path, child->key);
        if (k == NULL)
            unknown(l, key, child, at);
        else
            check_node(l, k, child, at);
    }
}

static void check_items(struct config_load *l, const struct config_key *key, const struct rs_yaml *list,
                        const char *path)
{
    size_t index = 0;
    if (rs_yaml_is_null(list))
        return;
    if (list->kind != RS_YAML_LIST) {
        config_error(l, list, path, "needs a list of sections");
        return;
    }
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next, index++)
        check_section(l, key, item, rs_arena_printf(l->arena, "%s[%zu]", path, index).ptr);
}

static void check_value(struct config_load *l, const struct config_key *key, const struct rs_yaml *node,
                        const char *path)
{
    struct rs_err err;
    if (config_value_read(l->arena, key, node, l->config, &err) != RS_OK)
        config_error(l, node, path, "%s", err.text);
}

static void check_refused(struct config_load *l, const struct config_key *key, const struct rs_yaml *node,
                          const char *path)
{
    if (!config_is_set(key, node))
        return;
    config_error(l, culprit(key, node), path, "%s", key->note);
    if (node->kind != RS_YAML_MAP)
        return;
    /* A key in it may have more to say. */
    for (const struct rs_yaml *child = node->first; child != NULL; child = child->next) {
        const struct config_key *k = config_key_child(key, child->key);
        if (k != NULL && k->status == KEY_REFUSED)
            check_refused(l, k, child, child_path(l, path, child->key));
    }
}

static void check_warned(struct config_load *l, const struct config_key *key, const struct rs_yaml *node,
                         const char *path)
{
    if (key->type == KEY_ITEMS && node->kind == RS_YAML_LIST) {
        size_t index = 0;
        for (const struct rs_yaml *item = node->first; item != NULL; item = item->next, index++)
            if (item->kind != RS_YAML_MAP || is_map_set(key, item))
                config_warn(l, item, rs_arena_printf(l->arena, "%s[%zu]", path, index).ptr, "%s", key->note);
        return;
    }
    if (config_is_set(key, node))
        config_warn(l, culprit(key, node), path, "%s", key->note);
    if (key->type != KEY_SECTION)
        check_value(l, key, node, path);
}

static void check_node(struct config_load *l, const struct config_key *key, const struct rs_yaml *node,
                       const char *path)
{
    if (key->status == KEY_REFUSED)
        check_refused(l, key, node, path);
    else if (key->status == KEY_WARNED)
        check_warned(l, key, node, path);
    else if (key->type == KEY_SECTION)
        check_section(l, key, node, path);
    else if (key->type == KEY_ITEMS)
        check_items(l, key, node, path);
    else
        check_value(l, key, node, path);
}

void config_check(struct config_load *l)
{
    for (size_t i = 0; i < config_key_count; i++)
        config_value_default(l->arena, &config_keys[i], l->config);
    check_section(l, NULL, l->root, "");
}
