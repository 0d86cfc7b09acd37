/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The effective configuration as YAML: what stands in the tree, by the table's order, and the defaults of what is
 * honoured. Unknown keys have no effect and are left out. Secrets become "***".
 */
#include "config/config_priv.h"

#define MASK "\"***\""

static bool print_section(struct rs_buf *out, const struct config_key *section, const struct rs_yaml *map,
                          unsigned indent);

static bool is_alphanumeric(rs_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z'))
            return false;
    }
    return s.len > 0;
}

static void print_scalar(struct rs_buf *out, const struct config_key *key, const struct rs_yaml *node)
{
    bool truth;
    int64_t number;
    if ((key->flags & KEY_SECRET) != 0)
        rs_buf_add_c(out, MASK);
    else if (key->type == KEY_BOOL && rs_yaml_bool(node, &truth))
        rs_buf_add_c(out, truth ? "true" : "false");
    else if (key->type == KEY_INT && rs_yaml_int(node, &number))
        rs_buf_printf(out, "%lld", (long long)number);
    else if ((key->type == KEY_SIZE || key->type == KEY_DURATION) && is_alphanumeric(node->text))
        rs_buf_add(out, node->text); /* the same with and without quotes: it is read as text */
    else
        rs_yaml_quote(out, node->text);
}

static void print_list(struct rs_buf *out, const struct config_key *key, const struct rs_yaml *node)
{
    const struct rs_yaml *item = node->kind == RS_YAML_LIST ? node->first : node;
    rs_buf_add_char(out, '[');
    for (; item != NULL; item = node->kind == RS_YAML_LIST ? item->next : NULL) {
        if (item != node && item != node->first)
            rs_buf_add_c(out, ", ");
        print_scalar(out, key, item);
    }
    rs_buf_add_char(out, ']');
}

static void print_names(struct rs_buf *out, const struct config_key *key, const struct rs_yaml *map)
{
    bool first = true;
    rs_buf_add_char(out, '{');
    for (const struct rs_yaml *child = map->first; child != NULL; child = child->next) {
        bool list = child->kind == RS_YAML_LIST || key->type == KEY_HEADERS;
        if (child->kind == RS_YAML_MAP)
            continue;
        rs_buf_add_c(out, first ? "" : ", ");
        rs_yaml_quote(out, child->key);
        rs_buf_add_c(out, ": ");
        if (list)
            print_list(out, key, child);
        else
            print_scalar(out, key, child);
        first = false;
    }
    rs_buf_add_char(out, '}');
}

static bool print_items(struct rs_buf *out, const struct config_key *key, const struct rs_yaml *list, unsigned indent)
{
    bool any = false;
    rs_buf_add_char(out, '\n');
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next) {
        size_t start = out->len;
        if (item->kind != RS_YAML_MAP || !print_section(out, key, item, indent + 2))
            continue;
        out->ptr[start + indent] = '-'; /* in the margin of its first line */
        any = true;
    }
    return any;
}

/* What follows "name:"; false if there is nothing worth a line. */
static bool print_value(struct rs_buf *out, const struct config_key *key, const struct rs_yaml *node, unsigned indent)
{
    bool refused = config_key_status(key) == KEY_WARNED && key->status != KEY_INSIDE;
    const char *remark = refused ? " # not honoured" : "";
    if (key->type == KEY_ITEMS || key->type == KEY_SECTION) {
        rs_buf_add_c(out, remark);
        if (key->type == KEY_ITEMS)
            return node != NULL && node->kind == RS_YAML_LIST && print_items(out, key, node, indent);
        rs_buf_add_char(out, '\n');
        return print_section(out, key, node, indent + 2);
    }
    rs_buf_add_char(out, ' ');
    if (node->kind == RS_YAML_MAP)
        print_names(out, key, node);
    else if (node->kind == RS_YAML_LIST || key->type == KEY_LIST)
        print_list(out, key, node);
    else
        print_scalar(out, key, node);
    rs_buf_printf(out, "%s\n", remark);
    return true;
}

static bool print_key(struct rs_buf *out, const struct config_key *key, const struct rs_yaml *node, unsigned indent)
{
    struct rs_yaml fallback = {.kind = RS_YAML_SCALAR, .plain = true, .text = rs_str_c(key->fallback)};
    bool section = key->type == KEY_SECTION || key->type == KEY_ITEMS;
    if (key->status == KEY_REFUSED || (key->status == KEY_WARNED && (node == NULL || !config_is_set(key, node))))
        return false; /* what is refused was not set, or this would not be printed */
    bool counts = (key->flags & KEY_PRESENT) != 0;
    if (counts && node == NULL)
        return false; /* it would say something by standing there */
    if (!section && rs_yaml_is_null(node)) {
        if (key->status != KEY_HONOURED || key->fallback[0] == '\0')
            return false;
        node = &fallback;
    }
    size_t start = out->len;
    rs_buf_printf(out, "%*s%s:", (int)indent, "", config_key_name(key));
    if (print_value(out, key, node, indent))
        return true;
    out->len = start;
    if (counts)
        rs_buf_printf(out, "%*s%s: {}\n", (int)indent, "", config_key_name(key));
    return counts;
}

static bool print_section(struct rs_buf *out, const struct config_key *section, const struct rs_yaml *map,
                          unsigned indent)
{
    bool any = false;
    const struct config_key *key = NULL;
    while ((key = config_key_next(section, key)) != NULL)
        any |= print_key(out, key, rs_yaml_get(map, config_key_name(key)), indent);
    return any;
}

void rs_config_print(const struct rs_config *config, struct rs_buf *out)
{
    print_section(out, NULL, config->priv->root, 0);
}
