/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader: libyaml's events become nodes. An alias is a copy of its anchor's tree, so that a later change of one
 * does not reach the other; copies count towards RS_YAML_NODES_MAX, which is what stops nested aliases from growing
 * without end. Recursion follows the depth of the document, which is bounded before it is followed.
 */
#include "base/yaml.h"

#include <yaml.h>

struct anchor {
    rs_str name;
    struct rs_yaml *node;
    struct anchor *next;
};

struct loader {
    struct rs_arena *arena;
    const char *origin;
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    size_t nodes;
    struct anchor *anchors; /* the latest first: a name may be used again */
    unsigned error_line;
    struct rs_err *err;
};

static rs_rc load_node(struct loader *l, unsigned depth, struct rs_yaml **out);

static rs_rc fail(struct loader *l, unsigned line, rs_rc rc, const char *text)
{
    l->error_line = line;
    return rs_err_set(l->err, rc, "%s", text);
}

static unsigned event_line(const struct loader *l)
{
    return (unsigned)l->event.start_mark.line + 1;
}

static rs_rc next_event(struct loader *l)
{
    if (l->has_event)
        yaml_event_delete(&l->event);
    l->has_event = yaml_parser_parse(&l->parser, &l->event) != 0;
    if (l->has_event)
        return RS_OK;
    /* libyaml's texts name the problem, never the content. */
    l->error_line = (unsigned)l->parser.problem_mark.line + 1;
    const char *problem = l->parser.problem != NULL ? l->parser.problem : "out of memory";
    return rs_err_set(l->err, RS_E_INVALID, "this is no valid YAML: %s", problem);
}

static rs_rc count_node(struct loader *l, unsigned line, unsigned depth)
{
    if (depth > RS_YAML_DEPTH_MAX)
        return fail(l, line, RS_E_TOO_BIG, "nested too deeply");
    if (++l->nodes > RS_YAML_NODES_MAX)
        return fail(l, line, RS_E_TOO_BIG, "too many values (aliases count each time)");
    return RS_OK;
}

struct rs_yaml *rs_yaml_new(struct rs_arena *arena, enum rs_yaml_kind kind, const char *origin, unsigned line)
{
    struct rs_yaml *node = rs_arena_zalloc(arena, sizeof *node);
    node->kind = kind;
    node->origin = origin;
    node->line = line;
    node->plain = true;
    return node;
}

static rs_rc copy_tree(struct loader *l, const struct rs_yaml *from, unsigned line, unsigned depth,
                       struct rs_yaml **out)
{
    RS_TRY(count_node(l, line, depth));
    struct rs_yaml *node = rs_yaml_new(l->arena, from->kind, from->origin, from->line);
    node->plain = from->plain;
    node->key = from->key;
    node->text = rs_arena_copy(l->arena, from->text);
    for (const struct rs_yaml *child = from->first; child != NULL; child = child->next) {
        struct rs_yaml *copy;
        RS_TRY(copy_tree(l, child, line, depth + 1, &copy));
        rs_yaml_add(node, copy);
    }
    *out = node;
    return RS_OK;
}

static rs_rc load_alias(struct loader *l, unsigned depth, struct rs_yaml **out)
{
    rs_str name = rs_str_c((const char *)l->event.data.alias.anchor);
    unsigned line = event_line(l);
    for (struct anchor *a = l->anchors; a != NULL; a = a->next)
        if (rs_str_eq(a->name, name))
            return copy_tree(l, a->node, line, depth, out);
    return fail(l, line, RS_E_INVALID, "an alias without an anchor before it");
}

static void remember(struct loader *l, rs_str name, struct rs_yaml *node)
{
    if (name.len == 0)
        return;
    struct anchor *a = rs_arena_zalloc(l->arena, sizeof *a);
    *a = (struct anchor){.name = name, .node = node, .next = l->anchors};
    l->anchors = a;
}

/* Sets *out_string when the tag makes the scalar a string whatever it looks like. */
static rs_rc check_tag(struct loader *l, const yaml_char_t *tag, bool *out_string)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    static const char *const known[] = {"str", "bool", "int", "float", "null", "map", "seq", "timestamp"};
    *out_string = false;
    rs_str t = rs_str_c((const char *)tag);
    if (t.len == 0)
        return RS_OK;
    if (rs_str_eq_c(t, "!")) {
        *out_string = true;
        return RS_OK;
    }
    if (rs_str_starts(t, RS_STR(prefix)))
        for (size_t i = 0; i < RS_COUNT(known); i++)
            if (rs_str_eq_c(rs_str_from(t, sizeof prefix - 1), known[i])) {
                *out_string = i == 0;
                return RS_OK;
            }
    return fail(l, event_line(l), RS_E_INVALID, "a tag (!…) that is not known");
}

static rs_rc load_scalar(struct loader *l, struct rs_yaml **out)
{
    bool string;
    RS_TRY(check_tag(l, l->event.data.scalar.tag, &string));
    rs_str text = {(const char *)l->event.data.scalar.value, l->event.data.scalar.length};
    size_t at;
    if (rs_str_find(text, '\0', &at))
        return fail(l, event_line(l), RS_E_INVALID, "a NUL character in a value");
    struct rs_yaml *node = rs_yaml_new(l->arena, RS_YAML_SCALAR, l->origin, event_line(l));
    node->plain = l->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !string;
    node->text = rs_arena_copy(l->arena, text);
    *out = node;
    return RS_OK;
}

static rs_rc load_list(struct loader *l, unsigned depth, struct rs_yaml **out)
{
    bool string;
    RS_TRY(check_tag(l, l->event.data.sequence_start.tag, &string));
    struct rs_yaml *list = rs_yaml_new(l->arena, RS_YAML_LIST, l->origin, event_line(l));
    RS_TRY(next_event(l));
    while (l->event.type != YAML_SEQUENCE_END_EVENT) {
        struct rs_yaml *item;
        RS_TRY(load_node(l, depth + 1, &item));
        item->key = (rs_str){NULL, 0};
        rs_yaml_add(list, item);
        RS_TRY(next_event(l));
    }
    *out = list;
    return RS_OK;
}

static rs_rc duplicate(struct loader *l, rs_str key, unsigned line, unsigned first_line)
{
    struct rs_buf shown;
    rs_buf_init(&shown, 256);
    rs_yaml_show_key(&shown, key);
    l->error_line = line;
    rs_rc rc =
        rs_err_set(l->err, RS_E_INVALID, "the key \"%s\" stands twice, first in line %u", rs_buf_z(&shown), first_line);
    rs_buf_release(&shown);
    return rc;
}

static struct rs_yaml *member(const struct rs_yaml *map, rs_str key)
{
    for (struct rs_yaml *child = map->first; child != NULL; child = child->next)
        if (rs_str_eq(child->key, key))
            return child;
    return NULL;
}

/* "<<": members that the mapping does not have itself are taken over. */
static rs_rc merge(struct loader *l, struct rs_yaml *map, const struct rs_yaml *from, unsigned line, unsigned depth)
{
    if (from->kind == RS_YAML_LIST) {
        for (const struct rs_yaml *item = from->first; item != NULL; item = item->next) {
            if (item->kind != RS_YAML_MAP)
                return fail(l, line, RS_E_INVALID, "\"<<\" takes mappings only");
            RS_TRY(merge(l, map, item, line, depth));
        }
        return RS_OK;
    }
    if (from->kind != RS_YAML_MAP)
        return fail(l, line, RS_E_INVALID, "\"<<\" takes mappings only");
    for (const struct rs_yaml *child = from->first; child != NULL; child = child->next) {
        struct rs_yaml *copy;
        if (member(map, child->key) != NULL)
            continue;
        RS_TRY(copy_tree(l, child, line, depth + 1, &copy));
        rs_yaml_add(map, copy);
    }
    return RS_OK;
}

static rs_rc load_key(struct loader *l, unsigned depth, struct rs_yaml **out)
{
    struct rs_yaml *key = NULL;
    unsigned line = event_line(l);
    RS_TRY(load_node(l, depth, &key));
    if (key->kind != RS_YAML_SCALAR)
        return fail(l, line, RS_E_INVALID, "a key must be a word");
    if (key->text.len > RS_YAML_KEY_MAX)
        return fail(l, line, RS_E_TOO_BIG, "a key is too long");
    *out = key;
    return RS_OK;
}

static rs_rc load_map(struct loader *l, unsigned depth, struct rs_yaml **out)
{
    bool string;
    RS_TRY(check_tag(l, l->event.data.mapping_start.tag, &string));
    struct rs_yaml *map = rs_yaml_new(l->arena, RS_YAML_MAP, l->origin, event_line(l));
    struct rs_yaml *merged = NULL;
    RS_TRY(next_event(l));
    while (l->event.type != YAML_MAPPING_END_EVENT) {
        struct rs_yaml *key = NULL;
        struct rs_yaml *value = NULL;
        RS_TRY(load_key(l, depth + 1, &key));
        RS_TRY(next_event(l));
        RS_TRY(load_node(l, depth + 1, &value));
        value->line = key->line;
        if (key->plain && rs_str_eq_c(key->text, "<<")) {
            if (merged != NULL)
                return duplicate(l, key->text, key->line, merged->line);
            merged = value;
        } else {
            const struct rs_yaml *other = member(map, key->text);
            if (other != NULL)
                return duplicate(l, key->text, key->line, other->line);
            value->key = key->text;
            rs_yaml_add(map, value);
        }
        RS_TRY(next_event(l));
    }
    *out = map;
    return merged == NULL ? RS_OK : merge(l, map, merged, merged->line, depth);
}

/* From the node's first event to its last, which stays the current one. */
static rs_rc load_node(struct loader *l, unsigned depth, struct rs_yaml **out)
{
    if (l->event.type == YAML_ALIAS_EVENT)
        return load_alias(l, depth, out);
    RS_TRY(count_node(l, event_line(l), depth));
    const yaml_char_t *anchor = NULL;
    rs_rc (*load)(struct loader *, unsigned, struct rs_yaml **) = NULL;
    if (l->event.type == YAML_SCALAR_EVENT) {
        anchor = l->event.data.scalar.anchor;
    } else if (l->event.type == YAML_SEQUENCE_START_EVENT) {
        anchor = l->event.data.sequence_start.anchor;
        load = load_list;
    } else if (l->event.type == YAML_MAPPING_START_EVENT) {
        anchor = l->event.data.mapping_start.anchor;
        load = load_map;
    } else {
        return fail(l, event_line(l), RS_E_INVALID, "this is no valid YAML");
    }
    rs_str name = rs_arena_copy(l->arena, rs_str_c((const char *)anchor));
    RS_TRY(load == NULL ? load_scalar(l, out) : load(l, depth, out));
    /* Only now: an alias inside its own anchor finds nothing. */
    remember(l, name, *out);
    return RS_OK;
}

static rs_rc load_stream(struct loader *l, struct rs_yaml **out)
{
    RS_TRY(next_event(l)); /* the start of the stream */
    RS_TRY(next_event(l));
    if (l->event.type == YAML_STREAM_END_EVENT) {
        *out = rs_yaml_new(l->arena, RS_YAML_SCALAR, l->origin, 1);
        return RS_OK;
    }
    RS_TRY(next_event(l)); /* behind the start of the document */
    RS_TRY(load_node(l, 1, out));
    RS_TRY(next_event(l)); /* the end of the document */
    RS_TRY(next_event(l));
    if (l->event.type != YAML_STREAM_END_EVENT)
        return fail(l, event_line(l), RS_E_INVALID, "a second document (---) begins here; only one is read");
    return RS_OK;
}

/* A mark of the byte order goes: libyaml, told the encoding, would count it as a column and break the indentation. */
static rs_rc check_encoding(struct loader *l, rs_str *text)
{
    if (rs_str_starts(*text, RS_STR("\xef\xbb\xbf")))
        *text = rs_str_from(*text, 3);
    bool marked = rs_str_starts(*text, RS_STR("\xff\xfe")) || rs_str_starts(*text, RS_STR("\xfe\xff"));
    /* YAML begins with an ASCII character: in UTF-16 one of its two bytes is 0. */
    if (marked || (text->len >= 2 && (text->ptr[0] == '\0') != (text->ptr[1] == '\0')))
        return fail(l, 1, RS_E_INVALID, "this is UTF-16; only UTF-8 is read: convert it");
    return RS_OK;
}

rs_rc rs_yaml_parse(struct rs_arena *arena, const char *origin, rs_str text, struct rs_yaml **out, unsigned *error_line,
                    struct rs_err *err)
{
    struct loader l = {.arena = arena, .origin = origin, .err = err};
    *error_line = 0;
    if (text.len > RS_YAML_BYTES_MAX)
        return rs_err_set(err, RS_E_TOO_BIG, "larger than %d bytes", RS_YAML_BYTES_MAX);
    rs_rc rc = check_encoding(&l, &text);
    if (rc != RS_OK) {
        *error_line = l.error_line;
        return rc;
    }
    if (!yaml_parser_initialize(&l.parser))
        return rs_err_set(err, RS_E_INTERNAL, "libyaml cannot be initialised");
    yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)(text.len > 0 ? text.ptr : ""), text.len);
    struct rs_yaml *root;
    rc = load_stream(&l, &root);
    if (l.has_event)
        yaml_event_delete(&l.event);
    yaml_parser_delete(&l.parser);
    if (rc == RS_OK)
        *out = root;
    *error_line = l.error_line;
    return rc;
}

struct rs_yaml *rs_yaml_get(const struct rs_yaml *map, const char *key)
{
    return map == NULL || map->kind != RS_YAML_MAP ? NULL : member(map, rs_str_c(key));
}

struct rs_yaml *rs_yaml_at(const struct rs_yaml *list, size_t index)
{
    struct rs_yaml *item = list->first;
    while (item != NULL && index-- > 0)
        item = item->next;
    return item;
}

void rs_yaml_add(struct rs_yaml *parent, struct rs_yaml *child)
{
    child->next = NULL;
    if (parent->last == NULL)
        parent->first = child;
    else
        parent->last->next = child;
    parent->last = child;
    parent->count++;
}

void rs_yaml_replace(struct rs_yaml *parent, struct rs_yaml *old, struct rs_yaml *child)
{
    struct rs_yaml **link = &parent->first;
    while (*link != old)
        link = &(*link)->next;
    child->key = old->key;
    child->next = old->next;
    *link = child;
    if (parent->last == old)
        parent->last = child;
}

static bool is_one_of(rs_str s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rs_str_eq_c(s, words[i]))
            return true;
    return false;
}

bool rs_yaml_is_null(const struct rs_yaml *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    return node == NULL ||
           (node->kind == RS_YAML_SCALAR && node->plain && is_one_of(node->text, words, RS_COUNT(words)));
}

bool rs_yaml_bool(const struct rs_yaml *node, bool *out)
{
    static const char *const yes[] = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"};
    static const char *const no[] = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"};
    if (node->kind != RS_YAML_SCALAR || !node->plain)
        return false;
    bool value = is_one_of(node->text, yes, RS_COUNT(yes));
    if (!value && !is_one_of(node->text, no, RS_COUNT(no)))
        return false;
    *out = value;
    return true;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* Cuts the prefix of the base off. */
static unsigned int_base(rs_str *s)
{
    if (s->len < 2 || s->ptr[0] != '0')
        return 10;
    char c = (char)(s->ptr[1] | 0x20);
    unsigned base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    *s = rs_str_from(*s, base != 0 ? 2 : 1);
    return base != 0 ? base : 8;
}

bool rs_yaml_int(const struct rs_yaml *node, int64_t *out)
{
    if (node->kind != RS_YAML_SCALAR || node->text.len == 0)
        return false;
    rs_str s = node->text;
    bool negative = s.ptr[0] == '-';
    if (negative || s.ptr[0] == '+')
        s = rs_str_from(s, 1);
    unsigned base = int_base(&s);
    uint64_t value = 0;
    size_t digits = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '_')
            continue;
        unsigned digit = (unsigned)digit_value(s.ptr[i]);
        if (digit >= base || value > ((uint64_t)INT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
        digits++;
    }
    if (digits == 0)
        return false;
    *out = negative ? -(int64_t)value : (int64_t)value;
    return true;
}

void rs_yaml_wipe(struct rs_yaml *node)
{
    /* The text came from rs_arena_copy: it is ours to write. */
    if (node->text.len > 0)
        rs_wipe((char *)(uintptr_t)node->text.ptr, node->text.len);
    node->text.len = 0;
    for (struct rs_yaml *child = node->first; child != NULL; child = child->next)
        rs_yaml_wipe(child);
}
