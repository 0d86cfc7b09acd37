/* SPDX-License-Identifier: Apache-2.0 */
/* roadstead.immutable_tags and roadstead.quotas. They restrict: whatever is not quite understood is an error. */
#include "base/glob.h"
#include "config/config_priv.h"

#define IMMUTABLE "roadstead.immutable_tags"
#define QUOTAS "roadstead.quotas"

void config_check_globs(struct config_load *l, const struct rs_yaml *item, const char *name, const char *path)
{
    struct rs_err err;
    const struct rs_yaml *node = rs_yaml_get(item, name);
    if (rs_yaml_is_null(node) || node->kind == RS_YAML_MAP)
        return;
    bool is_list = node->kind == RS_YAML_LIST;
    size_t count = 1;
    for (const struct rs_yaml *n = is_list ? node->first : node; n != NULL; n = is_list ? n->next : NULL, count++) {
        if (rs_yaml_is_null(n) || (n->kind == RS_YAML_SCALAR && n->text.len == 0))
            config_error(l, n, path, "entry %zu of %s is empty", count, name);
        else if (n->kind == RS_YAML_SCALAR && rs_glob_check(n->text, &err) != RS_OK)
            config_error(l, n, path, "entry %zu of %s: %s", count, name, err.text);
    }
}

/* A list that is there must name something: an empty one would switch the rule off in silence. */
static void check_list_of_globs(struct config_load *l, const struct rs_yaml *item, const char *name, const char *path)
{
    const struct rs_yaml *node = rs_yaml_get(item, name);
    if (node != NULL && node->kind == RS_YAML_LIST && node->count == 0)
        config_error(l, node, path, "its %s are empty; \"**\" stands for all", name);
    config_check_globs(l, item, name, path);
}

static void need(struct config_load *l, const struct rs_yaml *item, const char *path, const char *name,
                 const char *form)
{
    if (rs_yaml_is_null(rs_yaml_get(item, name)))
        config_error(l, item, path, "needs \"%s\" (%s)", name, form);
}

static void check_immutable(struct config_load *l, const struct rs_yaml *item, const char *path)
{
    need(l, item, path, "repositories", "patterns of names, such as team/**");
    check_list_of_globs(l, item, "repositories", path);
    check_list_of_globs(l, item, "tags", path);
}

static void check_quota(struct config_load *l, const struct rs_yaml *item, const char *path)
{
    need(l, item, path, "repositories", "patterns of names, such as team/**");
    need(l, item, path, "size", "such as 100GiB");
    check_list_of_globs(l, item, "repositories", path);
}

static size_t check_list(struct config_load *l, const char *key,
                         void (*check)(struct config_load *, const struct rs_yaml *, const char *))
{
    const struct rs_yaml *list = config_node(l->root, key);
    size_t index = 0;
    if (list == NULL || list->kind != RS_YAML_LIST)
        return 0;
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next, index++) {
        const char *path = rs_arena_printf(l->arena, "%s[%zu]", key, index).ptr;
        if (item->kind == RS_YAML_MAP || rs_yaml_is_null(item))
            check(l, item, path);
    }
    return index;
}

void config_rules_policy(struct config_load *l)
{
    check_list(l, IMMUTABLE, check_immutable);
    size_t quotas = check_list(l, QUOTAS, check_quota);
    if (quotas > RS_CONFIG_QUOTAS_MAX)
        config_error(l, config_node(l->root, QUOTAS), QUOTAS, "has %zu entries; at most %d are allowed", quotas,
                     RS_CONFIG_QUOTAS_MAX);
}

static void finish_immutable(struct config_load *l)
{
    const struct rs_yaml *list = config_node(l->root, IMMUTABLE);
    if (rs_yaml_is_null(list))
        return;
    struct rs_config_immutable *entries = rs_arena_zalloc(l->arena, (list->count + 1) * sizeof *entries);
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next) {
        struct rs_config_immutable *entry = &entries[l->config->immutable_count++];
        config_item_read(l, item, IMMUTABLE "[].repositories", &entry->repositories);
        config_item_read(l, item, IMMUTABLE "[].tags", &entry->tags);
    }
    l->config->immutable = entries;
}

static void finish_quotas(struct config_load *l)
{
    const struct rs_yaml *list = config_node(l->root, QUOTAS);
    if (rs_yaml_is_null(list))
        return;
    struct rs_config_quota *entries = rs_arena_zalloc(l->arena, (list->count + 1) * sizeof *entries);
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next) {
        struct rs_config_quota *entry = &entries[l->config->quota_count++];
        config_item_read(l, item, QUOTAS "[].repositories", &entry->repositories);
        config_item_read(l, item, QUOTAS "[].size", &entry->size);
    }
    l->config->quotas = entries;
}

void config_finish_policy(struct config_load *l)
{
    finish_immutable(l);
    finish_quotas(l);
}
