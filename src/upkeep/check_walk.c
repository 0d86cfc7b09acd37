/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the repositories, and what lies among them. */
#include "upkeep/check_priv.h"

struct walk {
    struct check *c;
    size_t len;
    char name[RS_NAME_MAX + 1]; /* of the directory where we are */
};

/* One directory: its parts are known when all of it has been seen. */
struct level {
    struct walk *walk;
    const char *path;
    unsigned parts;
};

static unsigned part_of(rs_str child)
{
    static const struct {
        const char *name;
        unsigned part;
    } parts[] = {
        {"_layers", RS_PART_LAYERS},
        {"_manifests", RS_PART_MANIFESTS},
        {"_uploads", RS_PART_UPLOADS},
        {"_roadstead", RS_PART_OWN},
    };
    for (size_t i = 0; i < RS_COUNT(parts); i++)
        if (rs_str_eq_c(child, parts[i].name))
            return parts[i].part;
    return 0;
}

static void walk_here(struct walk *w);

static bool visit_child(void *ctx, rs_str child, bool is_directory)
{
    struct level *level = ctx;
    struct walk *w = level->walk;
    size_t len = w->len;
    unsigned part = is_directory && len > 0 ? part_of(child) : 0;
    level->parts |= part;
    if (is_directory && part == 0 && rs_name_enter(w->name, &w->len, child)) {
        walk_here(w);
        w->len = len;
    } else if (part == 0) {
        check_odd(w->c, (rs_str){w->name, len}, level->path, child, is_directory);
    }
    return check_goes_on(w->c);
}

static void walk_here(struct walk *w)
{
    struct rs_path path;
    struct level level = {w, path.z, 0};
    rs_path_repository(&path, (rs_str){w->name, w->len});
    if (check_scan(w->c, (rs_str){w->name, w->len}, path.z, visit_child, &level) && level.parts != 0 &&
        check_goes_on(w->c))
        check_repository(w->c, (rs_str){w->name, w->len}, level.parts);
}

void check_repositories(struct check *c)
{
    struct walk w = {.c = c};
    walk_here(&w);
}
