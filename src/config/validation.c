/* SPDX-License-Identifier: Apache-2.0 */
/* The section `validation`: what no table can say of it, and its place in the snapshot. */
#include "base/pattern.h"
#include "config/config_priv.h"

/* A list, or a single value that stands bare: each expression must be one. */
static void check_patterns(struct config_load *l, const char *path)
{
    struct rs_err err;
    const struct rs_yaml *node = config_node(l->root, path);
    if (rs_yaml_is_null(node) || node->kind == RS_YAML_MAP)
        return;
    bool is_list = node->kind == RS_YAML_LIST;
    for (const struct rs_yaml *n = is_list ? node->first : node; n != NULL; n = is_list ? n->next : NULL) {
        RS_AUTO(rs_pattern_free) struct rs_pattern *pattern = NULL;
        if (n->kind == RS_YAML_SCALAR && rs_pattern_new(n->text, &pattern, &err) != RS_OK)
            config_error(l, n, path, "%s", err.text);
    }
}

void config_rules_validation(struct config_load *l)
{
    const char *path = "validation.manifests.indexes.platformlist";
    const struct rs_yaml *list = config_node(l->root, path);
    check_patterns(l, "validation.manifests.urls.allow");
    check_patterns(l, "validation.manifests.urls.deny");
    size_t count = list != NULL && list->kind == RS_YAML_LIST ? list->count : 0;
    if (l->config->validation.platforms == RS_CONFIG_PLATFORMS_LIST && count == 0)
        config_warn(l, config_node(l->root, "validation.manifests.indexes.platforms"),
                    "validation.manifests.indexes.platforms",
                    "without a platformlist everything must be there, as with all");
    for (const struct rs_yaml *n = count > 0 ? list->first : NULL; n != NULL; n = n->next)
        if (n->kind == RS_YAML_MAP &&
            (rs_yaml_is_null(rs_yaml_get(n, "os")) || rs_yaml_is_null(rs_yaml_get(n, "architecture"))))
            config_warn(l, n, path, "a platform without os or architecture is that of no image");
}

static const char *text_of(struct config_load *l, const struct rs_yaml *map, const char *key)
{
    const struct rs_yaml *node = rs_yaml_get(map, key);
    return rs_yaml_is_null(node) ? "" : rs_arena_z(l->arena, node->text);
}

void config_finish_validation(struct config_load *l)
{
    struct rs_config_validation *v = &l->config->validation;
    const struct rs_yaml *list = config_node(l->root, "validation.manifests.indexes.platformlist");
    v->active = v->enabled || !v->disabled;
    if (rs_yaml_is_null(list) || list->count == 0)
        return;
    struct rs_config_platform *platforms = rs_arena_zalloc(l->arena, list->count * sizeof *platforms);
    for (const struct rs_yaml *n = list->first; n != NULL; n = n->next)
        platforms[v->list_count++] = (struct rs_config_platform){text_of(l, n, "os"), text_of(l, n, "architecture")};
    v->list = platforms;
}
