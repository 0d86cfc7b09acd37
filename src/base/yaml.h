/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML documents as trees that know their lines, read by libyaml, with scalars resolved as registry:2 (Go's yaml.v2)
 * resolves them. Size, depth and the number of nodes are bounded, aliases included. A tree lives in one arena and
 * belongs to one thread at a time.
 */
#pragma once

#include "base/cc.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define RS_YAML_BYTES_MAX (1024 * 1024)
#define RS_YAML_DEPTH_MAX 32
#define RS_YAML_KEY_MAX 128     /* bytes: what rs_yaml_quote makes of it is still a key that libyaml reads */
#define RS_YAML_NODES_MAX 20000 /* after the expansion of aliases and merges */

enum rs_yaml_kind { RS_YAML_SCALAR, RS_YAML_LIST, RS_YAML_MAP };

struct rs_yaml {
    enum rs_yaml_kind kind;
    bool plain;            /* a scalar without quotes: may be more than a string */
    unsigned line;         /* from 1, of the key if there is one */
    const char *origin;    /* as given to rs_yaml_parse */
    rs_str key;            /* of a member of a mapping */
    rs_str text;           /* of a scalar; NUL-terminated and without NULs inside; wiped by rs_yaml_wipe */
    struct rs_yaml *first; /* children in their order */
    struct rs_yaml *last;
    struct rs_yaml *next;
    size_t count;
};

/* Reads one document. An empty one is a null scalar. Duplicate keys, several documents and unknown tags are errors
 * (RS_E_INVALID, RS_E_TOO_BIG) whose text holds nothing of the content but key names; *error_line is 0 if unknown. */
rs_rc rs_yaml_parse(struct rs_arena *arena, const char *origin, rs_str text, struct rs_yaml **out, unsigned *error_line,
                    struct rs_err *err);

struct rs_yaml *rs_yaml_new(struct rs_arena *arena, enum rs_yaml_kind kind, const char *origin, unsigned line);
struct rs_yaml *rs_yaml_get(const struct rs_yaml *map, const char *key); /* NULL if absent, or map is none (or NULL) */
struct rs_yaml *rs_yaml_at(const struct rs_yaml *list, size_t index);    /* NULL behind the end */
void rs_yaml_add(struct rs_yaml *parent, struct rs_yaml *child); /* at the end; child->key is set by the caller */
void rs_yaml_replace(struct rs_yaml *parent, struct rs_yaml *old, struct rs_yaml *child); /* keeps place and key */

bool rs_yaml_is_null(const struct rs_yaml *node);           /* nothing, ~ or null without quotes; also a NULL pointer */
bool rs_yaml_bool(const struct rs_yaml *node, bool *out);   /* y, yes, on, true … without quotes */
bool rs_yaml_int(const struct rs_yaml *node, int64_t *out); /* -1, 0x1f, 0o17, 017, 0b1, 1_000; quotes allowed */

/* Appends s so that it reads back as the same string: plain where that is safe, else in double quotes. */
void rs_yaml_quote(struct rs_buf *out, rs_str s);
/* Key names are input too: makes one fit for a message, without control characters and cut short. */
void rs_yaml_show_key(struct rs_buf *out, rs_str key);
void rs_yaml_wipe(struct rs_yaml *node); /* zeroes all text */
