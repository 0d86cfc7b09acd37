/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to config: the steps of a load. The file becomes a tree (base/yaml.h), variables replace nodes of it (env.c),
 * the table is held against it and values go into the snapshot (check.c, value.c), then what no table can say is
 * checked (rules.c) and what follows from several keys is made (finish.c). Problems are collected, none ends a step.
 */
#pragma once

#include "base/mem.h"
#include "base/yaml.h"
#include "config/config.h"
#include "config/schema.h"

struct rs_config_private {
    struct rs_arena *arena; /* holds all but itself and struct rs_config */
    struct rs_yaml *root;
};

struct config_problem {
    bool is_error;
    const char *origin;
    unsigned line; /* 0: the origin is a variable */
    const char *key;
    const char *text;
    size_t order;
};

struct config_load {
    struct rs_arena *arena;
    const char *file; /* the origin of nodes that have lines */
    struct rs_yaml *root;
    struct rs_config *config;
    struct config_problem *problems;
    size_t count;
    size_t cap;
};

/* node says where; NULL: at the head of the file. */
void config_error(struct config_load *l, const struct rs_yaml *node, const char *key, const char *fmt, ...)
    RS_PRINTF(4, 5);
void config_warn(struct config_load *l, const struct rs_yaml *node, const char *key, const char *fmt, ...)
    RS_PRINTF(4, 5);
void config_problem_at(struct config_load *l, bool is_error, const char *origin, unsigned line, const char *key,
                       const char *text);

struct rs_yaml *config_node(const struct rs_yaml *root, const char *path); /* NULL if it is not there */

void config_env_apply(struct config_load *l, char *const *environ);
void config_check(struct config_load *l);
void config_rules(struct config_load *l);
void config_rules_notifications(struct config_load *l);
void config_rules_validation(struct config_load *l);
void config_finish_validation(struct config_load *l);
void config_rules_health(struct config_load *l);
void config_rules_retention(struct config_load *l);
void config_finish_retention(struct config_load *l);
/* Entries of the item's list `name`, if it is there: patterns (base/glob.h), none empty. path: of the item. */
void config_check_globs(struct config_load *l, const struct rs_yaml *item, const char *name, const char *path);
void config_rules_policy(struct config_load *l);
void config_finish_policy(struct config_load *l);
bool config_is_url(rs_str url); /* http:// or https:// and a host */
/* Headers that are sent: names, values without control characters, none that frames a message. */
void config_check_headers(struct config_load *l, const struct rs_yaml *headers, const char *path);
void config_finish(struct config_load *l); /* only without errors */

/* Whether the node asks for anything beyond the key's default. */
bool config_is_set(const struct config_key *key, const struct rs_yaml *node);

/* Reads a value into its field (none if config is NULL). A null leaves the field alone. RS_E_INVALID: a text for people
 * that names no secret. */
rs_rc config_value_read(struct rs_arena *arena, const struct config_key *key, const struct rs_yaml *node,
                        struct rs_config *config, struct rs_err *err);
void config_value_default(struct rs_arena *arena, const struct config_key *key, struct rs_config *config);
/* Names with lists of values; the values stay where the tree has them, which is wiped at the end. */
const struct rs_config_header *config_headers_read(struct rs_arena *arena, const struct rs_yaml *map,
                                                   size_t *out_count);
/* One value of an item of a list, by the path of its key ("health.tcp[].addr"), with the key's default where it is not
 * set, into a field of the key's type. The value was checked before. */
void config_item_read(struct config_load *l, const struct rs_yaml *item, const char *path, void *field);
struct rs_config_list config_value_list(struct rs_arena *arena, const struct rs_yaml *node);
