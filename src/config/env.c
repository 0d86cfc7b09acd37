/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variables that replace nodes of the tree. A name is split at '_' and matched against the table, longest match first
 * (our own keys hold '_' themselves); names and numbers that the table leaves open become keys in lower case and
 * indexes. The value is YAML. Variables are taken in the order of their names, numbers in names by their value.
 */
#include "config/config_priv.h"

#define STEPS_MAX 32

struct step {
    rs_str key;
    size_t index;
    bool is_index;
    bool is_free; /* a key that the table leaves open: its case does not matter */
    const struct config_key *schema;
};

struct name {
    rs_str parts[STEPS_MAX];
    size_t part_count;
    struct step steps[STEPS_MAX + 1];
    size_t step_count;
    struct rs_arena *arena;
};

static bool resolve(struct name *n, const struct config_key *key, size_t at);

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* Go's names of fields where they differ from the keys. */
static const char *other_name(const struct config_key *key)
{
    static const char *const others[][2] = {
        {"health.file", "filecheckers"},
        {"health.http", "httpcheckers"},
        {"health.tcp", "tcpcheckers"},
        {"notifications.events", "eventconfig"},
        {"compatibility.schema1.signingkeyfile", "trustkey"},
        {"log.hooks[].options", "mailoptions"},
    };
    for (size_t i = 0; i < RS_COUNT(others); i++)
        if (strcmp(others[i][0], key->path) == 0)
            return others[i][1];
    return "";
}

/* The parts from `at` are neighbours in memory: joined by '_', they are one string. */
static rs_str joined(const struct name *n, size_t at, size_t count)
{
    rs_str last = n->parts[at + count - 1];
    return (rs_str){n->parts[at].ptr, (size_t)(last.ptr + last.len - n->parts[at].ptr)};
}

static bool matches(rs_str part, const char *key)
{
    if (part.len == 0 || part.len != strlen(key))
        return false;
    for (size_t i = 0; i < part.len; i++)
        if (part.ptr[i] != upper(key[i]))
            return false;
    return true;
}

static bool push(struct name *n, struct step step)
{
    if (n->step_count == RS_COUNT(n->steps))
        return false;
    n->steps[n->step_count++] = step;
    return true;
}

static bool push_free(struct name *n, rs_str key)
{
    char *lower = rs_arena_z(n->arena, key);
    for (char *c = lower; *c != '\0'; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 0x20) : *c;
    return push(n, (struct step){.key = rs_str_c(lower), .is_free = true});
}

static bool push_index(struct name *n, rs_str part)
{
    uint64_t index;
    return rs_str_u64(part, 100000, &index) && push(n, (struct step){.index = index, .is_index = true});
}

static bool resolve_child(struct name *n, const struct config_key *section, size_t at)
{
    size_t mark = n->step_count;
    for (size_t take = n->part_count - at; take > 0; take--) {
        const struct config_key *key = NULL;
        while ((key = config_key_next(section, key)) != NULL) {
            rs_str part = joined(n, at, take);
            if (!matches(part, config_key_name(key)) && !matches(part, other_name(key)))
                continue;
            if (push(n, (struct step){.key = rs_str_c(config_key_name(key)), .schema = key}) &&
                resolve(n, key, at + take))
                return true;
            n->step_count = mark;
        }
    }
    return false;
}

static bool resolve_names(struct name *n, const struct config_key *key, size_t at)
{
    size_t left = n->part_count - at;
    rs_str last = n->parts[n->part_count - 1];
    uint64_t ignored;
    if (key->type == KEY_HEADERS && left > 1 && rs_str_u64(last, 100000, &ignored))
        return push_free(n, joined(n, at, left - 1)) && push_index(n, last);
    return push_free(n, joined(n, at, left));
}

static bool resolve_options(struct name *n, size_t at)
{
    while (at < n->part_count)
        if (n->parts[at].len == 0 || !push_free(n, n->parts[at++]))
            return false;
    return true;
}

/* From the parts behind a key to steps behind it. False: there is no such key. */
static bool resolve(struct name *n, const struct config_key *key, size_t at)
{
    if (at == n->part_count)
        return true;
    switch (key->type) {
    case KEY_SECTION:
        return resolve_child(n, key, at);
    case KEY_ITEMS:
        return push_index(n, n->parts[at]) && (at + 1 == n->part_count || resolve_child(n, key, at + 1));
    case KEY_LIST:
        return at + 1 == n->part_count && push_index(n, n->parts[at]);
    case KEY_FIELDS:
    case KEY_HEADERS:
        return resolve_names(n, key, at);
    case KEY_OPTIONS:
        return resolve_options(n, at);
    case KEY_BOOL:
    case KEY_INT:
    case KEY_SIZE:
    case KEY_DURATION:
    case KEY_STRING:
    case KEY_ENUM:
        break;
    }
    return false;
}

static bool split(struct name *n, rs_str text)
{
    bool more = text.len <= RS_YAML_KEY_MAX;
    n->part_count = 0;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') /* what it may name becomes a key */
            return false;
    while (more) {
        if (n->part_count == RS_COUNT(n->parts))
            return false;
        more = rs_str_cut(text, '_', &n->parts[n->part_count++], &text);
    }
    return n->part_count > 0;
}

static struct rs_yaml *find_step(struct rs_yaml *parent, const struct step *step)
{
    if (step->is_index)
        return rs_yaml_at(parent, step->index);
    for (struct rs_yaml *child = parent->first; child != NULL; child = child->next)
        if (step->is_free ? rs_str_eq_nocase(child->key, step->key) : rs_str_eq(child->key, step->key))
            return child;
    return NULL;
}

/* False if an index is behind the end. */
static bool set_step(struct rs_yaml *parent, const struct step *step, struct rs_yaml *value)
{
    struct rs_yaml *old = find_step(parent, step);
    if (old != NULL) {
        rs_yaml_replace(parent, old, value);
        rs_yaml_wipe(old);
        return true;
    }
    if (step->is_index && step->index != parent->count)
        return false;
    value->key = step->key;
    rs_yaml_add(parent, value);
    return true;
}

/* "storage: filesystem" is short for a mapping with that key, and a bare string for a list of one. */
static struct rs_yaml *expand(struct config_load *l, const struct rs_yaml *node, enum rs_yaml_kind kind,
                              const char *origin)
{
    struct rs_yaml *made = rs_yaml_new(l->arena, kind, origin, 0);
    if (rs_yaml_is_null(node) || node->kind != RS_YAML_SCALAR)
        return made;
    struct rs_yaml *child =
        rs_yaml_new(l->arena, kind == RS_YAML_LIST ? RS_YAML_SCALAR : RS_YAML_MAP, node->origin, node->line);
    rs_str text = rs_arena_copy(l->arena, node->text);
    if (kind == RS_YAML_LIST)
        child->text = text;
    else
        child->key = text;
    child->plain = node->plain;
    made->origin = node->origin;
    made->line = node->line;
    rs_yaml_add(made, child);
    return made;
}

static bool takes_bare_word(const struct config_key *key)
{
    return key != NULL && (strcmp(key->path, "storage") == 0 || strcmp(key->path, "auth") == 0);
}

static void expand_bare_word(struct config_load *l, const char *path)
{
    struct rs_yaml *node = rs_yaml_get(l->root, path);
    if (node != NULL && node->kind == RS_YAML_SCALAR && !rs_yaml_is_null(node))
        rs_yaml_replace(l->root, node, expand(l, node, RS_YAML_MAP, node->origin));
}

static bool apply(struct config_load *l, const struct name *n, const char *origin, struct rs_yaml *value)
{
    struct rs_yaml *parent = l->root;
    for (size_t i = 0; i + 1 < n->step_count; i++) {
        enum rs_yaml_kind kind = n->steps[i + 1].is_index ? RS_YAML_LIST : RS_YAML_MAP;
        struct rs_yaml *child = find_step(parent, &n->steps[i]);
        if (child == NULL || child->kind != kind) {
            bool keep = kind == RS_YAML_LIST || takes_bare_word(n->steps[i].schema);
            child = expand(l, keep ? child : NULL, kind, origin);
            if (!set_step(parent, &n->steps[i], child))
                return false;
        }
        parent = child;
    }
    return set_step(parent, &n->steps[n->step_count - 1], value);
}

static const char *step_path(struct config_load *l, const struct name *n)
{
    rs_str path = RS_STR("");
    for (size_t i = 0; i < n->step_count; i++) {
        const struct step *s = &n->steps[i];
        if (s->is_index)
            path = rs_arena_printf(l->arena, RS_STR_FMT "[%zu]", RS_STR_ARG(path), s->index);
        else
            path = rs_arena_printf(l->arena, RS_STR_FMT "%s" RS_STR_FMT, RS_STR_ARG(path), i > 0 ? "." : "",
                                   RS_STR_ARG(s->key));
    }
    return path.ptr;
}

static void apply_value(struct config_load *l, const struct name *n, const char *origin, rs_str text)
{
    struct rs_yaml *value;
    struct rs_err err;
    unsigned line;
    if (rs_yaml_parse(l->arena, origin, text, &value, &line, &err) != RS_OK)
        config_problem_at(
            l, true, origin, 0, step_path(l, n),
            rs_arena_printf(l->arena, "%s (the value is read as YAML: put quotes around a string)", err.text).ptr);
    else if (!apply(l, n, origin, value))
        config_problem_at(l, false, origin, 0, step_path(l, n), "the index is behind the end of the list: ignored");
}

/* What Kubernetes sets for a service of our name: …_PORT, …_PORT_5000_TCP_ADDR, …_SERVICE_HOST, …_SERVICE_PORT_WEB. */
static bool is_kubernetes(const struct name *n)
{
    uint64_t ignored;
    for (size_t i = 0; i < n->part_count; i++) {
        bool last = i + 1 == n->part_count;
        rs_str next = last ? RS_STR("") : n->parts[i + 1];
        if (rs_str_eq_c(n->parts[i], "PORT") && (last || rs_str_u64(next, 65535, &ignored)))
            return true;
        if (rs_str_eq_c(n->parts[i], "SERVICE") && (rs_str_eq_c(next, "HOST") || rs_str_eq_c(next, "PORT")))
            return true;
    }
    return false;
}

/* A misspelt limit protects nothing. But scripts and Kubernetes have variables of our name as well. */
static bool is_misspelt(const struct name *n, const struct config_key *section)
{
    const struct config_key *key = NULL;
    while (section != NULL && n->part_count > 1 && !is_kubernetes(n) && (key = config_key_next(section, key)) != NULL)
        if (key->type == KEY_SECTION && matches(n->parts[0], config_key_name(key)))
            return true;
    return false;
}

static const char *shown_name(struct config_load *l, rs_str name)
{
    struct rs_buf shown;
    rs_buf_init(&shown, 256);
    rs_yaml_show_key(&shown, name);
    const char *z = rs_arena_z(l->arena, rs_buf_str(&shown));
    rs_buf_release(&shown);
    return z;
}

static void apply_variable(struct config_load *l, const char *variable)
{
    rs_str name;
    rs_str value;
    struct name n = {.arena = l->arena};
    rs_str_cut(rs_str_c(variable), '=', &name, &value);
    bool ours = rs_str_starts(name, RS_STR("ROADSTEAD_"));
    const struct config_key *section = ours ? config_key_find("roadstead") : NULL;
    if (rs_str_eq_c(name, "REGISTRY_CONFIGURATION_PATH") || rs_str_starts(name, RS_STR("ROADSTEAD_TEST_")))
        return; /* not the configuration's */
    const char *origin = shown_name(l, name);
    bool known = split(&n, rs_str_from(name, ours ? strlen("ROADSTEAD_") : strlen("REGISTRY_")));
    if (known && ours)
        push(&n, (struct step){.key = RS_STR("roadstead"), .schema = section});
    if (known && resolve_child(&n, section, 0))
        apply_value(l, &n, origin, value);
    else
        config_problem_at(l, is_misspelt(&n, section), origin, 0, "variable", "is not known and has no effect");
}

/* Byte order, but for numbers: CLIENTCAS_2 comes before CLIENTCAS_10. */
static int compare_names(const char *a, const char *b)
{
    static const char digits[] = "0123456789";
    for (;;) {
        size_t na = strspn(a, digits);
        size_t nb = strspn(b, digits);
        if (na > 0 && nb > 0) {
            int order = na != nb ? (na < nb ? -1 : 1) : strncmp(a, b, na);
            if (order != 0)
                return order;
            a += na;
            b += nb;
        } else if (*a == *b && *a != '=' && *a != '\0') {
            a++;
            b++;
        } else {
            return (*a == '=' ? 0 : (unsigned char)*a) - (*b == '=' ? 0 : (unsigned char)*b);
        }
    }
}

static int compare_variables(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    int order = compare_names(*x, *y);
    return order != 0 ? order : strcmp(*x, *y);
}

static bool is_ours(const char *variable)
{
    rs_str s = rs_str_c(variable);
    size_t ignored;
    return (rs_str_starts(s, RS_STR("REGISTRY_")) || rs_str_starts(s, RS_STR("ROADSTEAD_"))) &&
           rs_str_find(s, '=', &ignored);
}

void config_env_apply(struct config_load *l, char *const *environ)
{
    size_t count = 0;
    size_t total = 0;
    while (environ != NULL && environ[total] != NULL)
        total++;
    const char **variables = rs_arena_zalloc(l->arena, (total + 1) * sizeof *variables);
    for (size_t i = 0; i < total; i++)
        if (is_ours(environ[i]))
            variables[count++] = environ[i];
    qsort(variables, count, sizeof *variables, compare_variables);
    for (size_t i = 0; i < count; i++)
        apply_variable(l, variables[i]);
    expand_bare_word(l, "storage");
    expand_bare_word(l, "auth");
}
