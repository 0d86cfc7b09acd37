/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"

/* Short names for the table alone. */
#define AT(member) offsetof(struct rs_config, member)
#define NONE KEY_NO_FIELD
#define SECRET KEY_SECRET
#define STRICT KEY_STRICT
#define PRESENT KEY_PRESENT

const struct config_key config_keys[] = {
#define RS_KEY(path, type, status, fallback, values, field, flags, doc, note)                                          \
    {path, KEY_##type, KEY_##status, fallback, values, field, flags, doc, note},
#include "tbl/config.def"
#undef RS_KEY
};

const size_t config_key_count = RS_COUNT(config_keys);

const struct config_key *config_key_find(const char *path)
{
    for (size_t i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].path, path) == 0)
            return &config_keys[i];
    return NULL;
}

/* What follows "section." or "section[]." in the path; NULL if it does not stand in the section. */
static const char *inside(const struct config_key *section, const struct config_key *key)
{
    if (section == NULL)
        return key->path;
    size_t len = strlen(section->path);
    if (strncmp(key->path, section->path, len) != 0)
        return NULL;
    const char *rest = key->path + len;
    if (strncmp(rest, "[]", 2) == 0)
        rest += 2;
    return *rest == '.' ? rest + 1 : NULL;
}

const struct config_key *config_key_next(const struct config_key *section, const struct config_key *before)
{
    const struct config_key *key = before != NULL ? before + 1 : section != NULL ? section + 1 : config_keys;
    for (; key < config_keys + config_key_count; key++) {
        const char *name = inside(section, key);
        if (name == NULL) /* the table keeps a section together */
            return NULL;
        if (strpbrk(name, ".[") == NULL)
            return key;
    }
    return NULL;
}

const struct config_key *config_key_child(const struct config_key *section, rs_str name)
{
    const struct config_key *key = NULL;
    while ((key = config_key_next(section, key)) != NULL)
        if (rs_str_eq_c(name, config_key_name(key)))
            return key;
    return NULL;
}

const char *config_key_name(const struct config_key *key)
{
    const char *dot = strrchr(key->path, '.');
    return dot == NULL ? key->path : dot + 1;
}

enum key_status config_key_status(const struct config_key *key)
{
    const struct config_key *section = key;
    while (section->status == KEY_INSIDE) {
        do /* back to the section that it stands in */
            section--;
        while (inside(section, key) == NULL);
    }
    return section->status;
}

bool config_key_restricts(const struct config_key *key)
{
    for (const struct config_key *k = key; k < config_keys + config_key_count; k++) {
        if (k != key && inside(key, k) == NULL)
            break;
        if (k->status == KEY_REFUSED || (k->flags & KEY_STRICT) != 0)
            return true;
    }
    return false;
}
