/* SPDX-License-Identifier: Apache-2.0 */
/* roadstead.retention.rules. They remove: whatever is not quite understood is an error. */
#include "base/clock.h"
#include "config/config_priv.h"

#define LIST "roadstead.retention.rules"
#define PULLED_MS_MIN (INT64_C(3600) * 1000) /* records of pulls are no finer */

/* Whether a number or duration is there and more than 0. What cannot be read was reported, and counts. */
static bool is_given(const struct rs_yaml *item, const char *name)
{
    const struct rs_yaml *node = rs_yaml_get(item, name);
    int64_t value;
    if (rs_yaml_is_null(node))
        return false;
    if (node->kind != RS_YAML_SCALAR)
        return true;
    if (rs_yaml_int(node, &value) || rs_duration_parse(node->text, &value))
        return value != 0;
    return true;
}

static void check_pulled(struct config_load *l, const struct rs_yaml *item, const char *path)
{
    const struct rs_yaml *node = rs_yaml_get(item, "not_pulled_for");
    int64_t ms;
    if (node != NULL && node->kind == RS_YAML_SCALAR && rs_duration_parse(node->text, &ms) && ms > 0 &&
        ms < PULLED_MS_MIN)
        config_error(l, node, path, "not_pulled_for needs at least 1h: pulls are recorded once an hour");
}

static void check_rule(struct config_load *l, const struct rs_yaml *item, const char *path)
{
    const struct rs_yaml *repositories = rs_yaml_get(item, "repositories");
    if (rs_yaml_is_null(repositories) || (repositories->kind == RS_YAML_LIST && repositories->count == 0))
        config_error(l, item, path, "needs \"repositories\" (patterns of names, such as team/**)");
    config_check_globs(l, item, "repositories", path);
    config_check_globs(l, item, "keep_tags", path);
    if (!is_given(item, "keep_last") && !is_given(item, "older_than") && !is_given(item, "not_pulled_for"))
        config_error(l, item, path, "needs keep_last, older_than or not_pulled_for: it says nothing of what may go");
    check_pulled(l, item, path);
}

void config_rules_retention(struct config_load *l)
{
    const struct rs_yaml *list = config_node(l->root, LIST);
    size_t index = 0;
    if (list == NULL || list->kind != RS_YAML_LIST)
        return;
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next, index++) {
        const char *path = rs_arena_printf(l->arena, LIST "[%zu]", index).ptr;
        if (item->kind == RS_YAML_MAP)
            check_rule(l, item, path);
        else if (rs_yaml_is_null(item))
            config_error(l, item, path, "is empty");
    }
}

void config_finish_retention(struct config_load *l)
{
    struct rs_config_retention *retention = &l->config->retention;
    const struct rs_yaml *list = config_node(l->root, LIST);
    if (rs_yaml_is_null(list))
        return;
    struct rs_config_retention_rule *rules = rs_arena_zalloc(l->arena, (list->count + 1) * sizeof *rules);
    for (const struct rs_yaml *item = list->first; item != NULL; item = item->next) {
        struct rs_config_retention_rule *rule = &rules[retention->rule_count++];
        config_item_read(l, item, LIST "[].repositories", &rule->repositories);
        config_item_read(l, item, LIST "[].keep_tags", &rule->keep_tags);
        config_item_read(l, item, LIST "[].keep_last", &rule->keep_last);
        config_item_read(l, item, LIST "[].older_than", &rule->older_than_ms);
        config_item_read(l, item, LIST "[].not_pulled_for", &rule->not_pulled_for_ms);
    }
    retention->rules = rules;
}
