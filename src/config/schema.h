/* SPDX-License-Identifier: Apache-2.0 */
/* Private to config: src/tbl/config.def as an array, and how to find a key in it. */
#pragma once

#include "base/str.h"
#include "config/config.h"

enum key_type {
    KEY_SECTION,  /* a mapping with known keys */
    KEY_ITEMS,    /* a list of mappings with known keys ("path[].key") */
    KEY_BOOL,     /* → bool */
    KEY_INT,      /* → uint64_t; less than 0 is kept as 0 */
    KEY_SIZE,     /* 64KiB, 1M, 512 → uint64_t */
    KEY_DURATION, /* Go's 1h30m → int64_t, milliseconds */
    KEY_STRING,   /* → const char * */
    KEY_ENUM,     /* one of some words → an enum, in their order */
    KEY_LIST,     /* strings → struct rs_config_list; a single one may stand bare */
    KEY_FIELDS,   /* a mapping of names to plain values */
    KEY_HEADERS,  /* a mapping of names to lists of strings */
    KEY_OPTIONS,  /* any mapping */
};

enum key_status {
    KEY_HONOURED,
    KEY_QUIET,   /* accepted, and nothing follows from it */
    KEY_WARNED,  /* a warning if it is set to anything but its default, or switched on */
    KEY_REFUSED, /* an error in the same case */
    KEY_INSIDE,  /* as the section that it stands in */
};

enum key_flag {
    KEY_SECRET = 1,  /* never shown */
    KEY_STRICT = 2,  /* a section or a list of them: an unknown key in it is an error */
    KEY_PRESENT = 4, /* counts as set by standing there, even if empty */
};

struct config_key {
    const char *path;
    enum key_type type;
    enum key_status status;
    const char *fallback; /* the default as text */
    const char *values;
    size_t field; /* its offset in struct rs_config; KEY_NO_FIELD */
    unsigned flags;
    const char *doc;
    const char *note;
};

#define KEY_NO_FIELD SIZE_MAX

extern const struct config_key config_keys[];
extern const size_t config_key_count;

const struct config_key *config_key_find(const char *path); /* NULL if there is none */
/* The keys that stand directly in a section (NULL: the top level), one by one, in the table's order: start with
 * before == NULL; NULL ends. */
const struct config_key *config_key_next(const struct config_key *section, const struct config_key *before);
const struct config_key *config_key_child(const struct config_key *section, rs_str name); /* NULL if unknown */
const char *config_key_name(const struct config_key *key); /* the last part of its path */
/* WARNED, REFUSED, HONOURED or QUIET: of the nearest section that is not INSIDE. */
enum key_status config_key_status(const struct config_key *key);
bool config_key_restricts(const struct config_key *key); /* it, or a key in it, is REFUSED or STRICT */
