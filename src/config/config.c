/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <stdarg.h>

#include "base/io.h"
#include "config/config_priv.h"

/* What holds without a file; variables change it as they change a file. */
static const char no_file[] = "version: 0.1\nstorage: {filesystem: {rootdirectory: ./data}}\n";

void config_problem_at(struct config_load *l, bool is_error, const char *origin, unsigned line, const char *key,
                       const char *text)
{
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 16 : l->cap * 2;
        l->problems = rs_realloc(l->problems, l->cap * sizeof *l->problems);
    }
    l->problems[l->count] = (struct config_problem){is_error, origin, line, key, text, l->count};
    l->count++;
}

RS_PRINTF(5, 0)
static void add_problem(struct config_load *l, bool is_error, const struct rs_yaml *node, const char *key,
                        const char *fmt, va_list args)
{
    char text[RS_ERR_TEXT_MAX];
    vsnprintf(text, sizeof text, fmt, args);
    const char *origin = node != NULL ? node->origin : l->file;
    unsigned line = node != NULL ? node->line : 1;
    config_problem_at(l, is_error, origin, origin == l->file ? line : 0, key, rs_arena_z(l->arena, rs_str_c(text)));
}

void config_error(struct config_load *l, const struct rs_yaml *node, const char *key, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_problem(l, true, node, key, fmt, args);
    va_end(args);
}

void config_warn(struct config_load *l, const struct rs_yaml *node, const char *key, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_problem(l, false, node, key, fmt, args);
    va_end(args);
}

struct rs_yaml *config_node(const struct rs_yaml *root, const char *path)
{
    rs_str rest = rs_str_c(path);
    rs_str name;
    char z[64];
    struct rs_yaml *node = NULL;
    for (bool more = true; more; root = node) {
        more = rs_str_cut(rest, '.', &name, &rest);
        RS_ASSERT(rs_str_copy_z(name, z, sizeof z));
        node = rs_yaml_get(root, z);
        if (node == NULL)
            return NULL;
    }
    return node;
}

/* The file in the order of its lines, then variables. */
static int compare_problems(const void *a, const void *b)
{
    const struct config_problem *x = a;
    const struct config_problem *y = b;
    if ((x->line == 0) != (y->line == 0))
        return x->line == 0 ? 1 : -1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void problem_place(const struct config_problem *p, char *out, size_t size)
{
    if (p->line > 0)
        snprintf(out, size, "%s:%u", p->origin, p->line);
    else
        snprintf(out, size, "%s", p->origin);
}

/* Tells of all problems; the first error goes to err. */
static rs_rc tell(struct config_load *l, rs_config_report *report, void *ctx, struct rs_err *err)
{
    const struct config_problem *first = NULL;
    size_t errors = 0;
    char place[512];
    if (l->count > 0)
        qsort(l->problems, l->count, sizeof *l->problems, compare_problems);
    for (size_t i = 0; i < l->count; i++) {
        const struct config_problem *p = &l->problems[i];
        problem_place(p, place, sizeof place);
        if (report != NULL)
            report(ctx, p->is_error, place, p->key, p->text);
        if (p->is_error && errors++ == 0)
            first = p;
    }
    if (first == NULL)
        return RS_OK;
    problem_place(first, place, sizeof place);
    char more[48] = "";
    if (errors > 1)
        snprintf(more, sizeof more, " (and %zu more)", errors - 1);
    return rs_err_set(err, RS_E_CONFIG, "%s: %s: %s%s", place, first->key, first->text, more);
}

static void parse_tree(struct config_load *l, rs_str text)
{
    struct rs_err err;
    unsigned line;
    if (rs_yaml_parse(l->arena, l->file, text, &l->root, &line, &err) != RS_OK) {
        config_problem_at(l, true, l->file, line, "syntax", rs_arena_z(l->arena, rs_str_c(err.text)));
        return;
    }
    if (rs_yaml_is_null(l->root)) {
        l->root = rs_yaml_new(l->arena, RS_YAML_MAP, l->file, 1);
    } else if (l->root->kind != RS_YAML_MAP) {
        config_error(l, l->root, "syntax", "the file must be a mapping: \"version: 0.1\" and so on");
        l->root = NULL;
    }
}

static rs_rc read_tree(struct config_load *l, const char *path, struct rs_err *err)
{
    if (path == NULL) {
        parse_tree(l, RS_STR(no_file));
        return RS_OK;
    }
    struct rs_buf content;
    rs_buf_init(&content, RS_YAML_BYTES_MAX);
    rs_rc rc = rs_read_file(path, &content, err);
    if (rc == RS_OK)
        parse_tree(l, rs_buf_str(&content));
    if (content.ptr != NULL)
        rs_wipe(content.ptr, content.len);
    rs_buf_release(&content);
    return rc;
}

static bool has_errors(const struct config_load *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->problems[i].is_error)
            return true;
    return false;
}

static rs_rc load(struct config_load *l, const char *path, char *const *environ, struct rs_err *err)
{
    RS_TRY(read_tree(l, path, err));
    if (l->root == NULL)
        return RS_OK;
    config_env_apply(l, environ);
    config_check(l);
    config_rules(l);
    l->config->priv->root = l->root;
    if (!has_errors(l))
        config_finish(l);
    return RS_OK;
}

rs_rc rs_config_load(const char *path, char *const *environ, rs_config_report *report, void *ctx,
                     struct rs_config **out, struct rs_err *err)
{
    RS_AUTO(rs_config_free) struct rs_config *config = rs_calloc(1, sizeof *config);
    config->priv = rs_calloc(1, sizeof *config->priv);
    config->priv->arena = rs_arena_new();
    struct config_load l = {.arena = config->priv->arena, .config = config};
    l.file = rs_arena_z(l.arena, rs_str_c(path != NULL ? path : "defaults"));
    rs_rc rc = load(&l, path, environ, err);
    if (rc == RS_OK)
        rc = tell(&l, report, ctx, err);
    else if (report != NULL)
        report(ctx, true, l.file, "file", err->text);
    free(l.problems);
    if (rc == RS_OK)
        *out = rs_take(&config);
    return rc;
}

void rs_config_free(struct rs_config **config)
{
    if (*config == NULL)
        return;
    struct rs_config_private *priv = (*config)->priv;
    if (priv->root != NULL)
        rs_yaml_wipe(priv->root);
    rs_arena_free(&priv->arena);
    free(priv);
    free(*config);
    *config = NULL;
}
