/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the driver in memory: directories whose children are a treap each. All under the lock. */
#include "base/clock.h"
#include "base/mem.h"
#include "storage/memory_priv.h"

/* What the allocator adds, about. */
#define NODE_OVERHEAD 16

bool memory_is_directory(const struct memory_node *node)
{
    return node->object == NULL;
}

rs_str memory_node_name(const struct memory_node *node)
{
    return (rs_str){node->name, node->name_len};
}

/* --- the treap --- */

/* Where the pointer to that name is, or would be. */
static struct memory_node **slot_of(struct memory_node **root, rs_str name)
{
    struct memory_node **at = root;
    while (*at != NULL) {
        int order = rs_str_cmp(name, memory_node_name(*at));
        if (order == 0)
            break;
        at = order < 0 ? &(*at)->left : &(*at)->right;
    }
    return at;
}

/* What sorts before the name, and what sorts behind it. */
static void split(struct memory_node *node, rs_str name, struct memory_node **left, struct memory_node **right)
{
    while (node != NULL) {
        if (rs_str_cmp(memory_node_name(node), name) < 0) {
            *left = node;
            left = &node->right;
            node = node->right;
        } else {
            *right = node;
            right = &node->left;
            node = node->left;
        }
    }
    *left = *right = NULL;
}

/* Everything in left sorts before everything in right. */
static struct memory_node *merge(struct memory_node *left, struct memory_node *right)
{
    struct memory_node *root;
    struct memory_node **at = &root;
    while (left != NULL && right != NULL) {
        if (left->priority > right->priority) {
            *at = left;
            at = &left->right;
            left = left->right;
        } else {
            *at = right;
            at = &right->left;
            right = right->left;
        }
    }
    *at = left != NULL ? left : right;
    return root;
}

static void insert(struct memory_node **root, struct memory_node *node)
{
    rs_str name = memory_node_name(node);
    struct memory_node **at = root;
    while (*at != NULL && (*at)->priority >= node->priority)
        at = rs_str_cmp(name, memory_node_name(*at)) < 0 ? &(*at)->left : &(*at)->right;
    split(*at, name, &node->left, &node->right);
    *at = node;
}

/* False: the visitor wants no more. As deep as the treap, which is a few times the logarithm of its size. */
static bool each_after(const struct memory_node *node, rs_str after, memory_visit *visit, void *ctx)
{
    if (node == NULL)
        return true;
    if (rs_str_cmp(memory_node_name(node), after) > 0) {
        if (!each_after(node->left, after, visit, ctx) || !visit(ctx, node))
            return false;
    }
    return each_after(node->right, after, visit, ctx);
}

void memory_each_after_locked(const struct memory_node *directory, rs_str after, memory_visit *visit, void *ctx)
{
    each_after(directory->children, after, visit, ctx);
}

/* --- paths --- */

static uint64_t cost_of(rs_str name)
{
    return sizeof(struct memory_node) + name.len + NODE_OVERHEAD;
}

static void touch_locked(struct memory *memory, struct memory_node *directory)
{
    directory->stamp = memory_next_stamp_locked(memory);
    directory->mtime_s = rs_wall_s();
}

/* xorshift: only to keep the treaps flat, from a seed that nobody knows. */
static uint32_t random_locked(struct memory *memory)
{
    memory->random ^= memory->random << 13;
    memory->random ^= memory->random >> 7;
    memory->random ^= memory->random << 17;
    return (uint32_t)(memory->random >> 32);
}

void memory_tree_init(struct memory *memory)
{
    memory->used = cost_of((rs_str){0});
    memory->root = rs_calloc(1, sizeof(*memory->root));
    touch_locked(memory, memory->root);
}

static rs_rc add_locked(struct memory *memory, struct memory_node *parent, rs_str name, struct memory_object *object,
                        struct memory_node **out, struct rs_err *err)
{
    RS_TRY(memory_charge_locked(memory, cost_of(name), err));
    struct memory_node *node = rs_calloc(1, sizeof(*node) + name.len);
    memcpy(node->name, name.ptr, name.len);
    node->name_len = (uint32_t)name.len;
    node->object = object;
    node->priority = random_locked(memory);
    touch_locked(memory, node);
    insert(&parent->children, node);
    touch_locked(memory, parent);
    *out = node;
    return RS_OK;
}

/* Cuts the next name off a path ("/a/b" → "a", "/b"); false at its end. */
static bool next_name(rs_str *path, rs_str *out_name)
{
    size_t slash;
    *path = rs_str_from(*path, 1);
    if (path->len == 0)
        return false;
    size_t end = rs_str_find(*path, '/', &slash) ? slash : path->len;
    *out_name = rs_str_sub(*path, 0, end);
    *path = rs_str_from(*path, end);
    return true;
}

static struct memory_node *find_locked(struct memory *memory, rs_str path)
{
    rs_str name;
    struct memory_node *node = memory->root;
    while (node != NULL && next_name(&path, &name))
        node = memory_is_directory(node) ? *slot_of(&node->children, name) : NULL;
    return node;
}

struct memory_node *memory_find_locked(struct memory *memory, const char *path)
{
    return find_locked(memory, rs_str_c(path));
}

/* "/a/b" → "/a" and "b". Not of the root. */
static rs_str parent_of(const char *path, rs_str *out_name)
{
    size_t slash = 0;
    rs_str whole = rs_str_c(path);
    rs_str_rfind(whole, '/', &slash);
    *out_name = rs_str_from(whole, slash + 1);
    return rs_str_sub(whole, 0, RS_MAX(slash, 1));
}

static rs_rc no_place(rs_str path, struct rs_err *err)
{
    return rs_err_set(err, RS_E_IO, "there is no place for " RS_STR_FMT ": something else lies there",
                      RS_STR_ARG(path));
}

static rs_rc make_directory_locked(struct memory *memory, rs_str path, struct memory_node **out, struct rs_err *err)
{
    rs_str name, rest = path;
    struct memory_node *node = memory->root;
    while (next_name(&rest, &name)) {
        struct memory_node *child = *slot_of(&node->children, name);
        if (child == NULL)
            RS_TRY(add_locked(memory, node, name, NULL, &child, err));
        if (!memory_is_directory(child))
            return no_place(path, err);
        node = child;
    }
    *out = node;
    return RS_OK;
}

rs_rc memory_make_directory_locked(struct memory *memory, rs_str path, struct rs_err *err)
{
    struct memory_node *ignored;
    return make_directory_locked(memory, path, &ignored, err);
}

rs_rc memory_place_locked(struct memory *memory, const char *path, struct memory_object *object,
                          struct memory_object **out_old, struct rs_err *err)
{
    rs_str name;
    struct memory_node *parent;
    RS_TRY(make_directory_locked(memory, parent_of(path, &name), &parent, err));
    struct memory_node *node = *slot_of(&parent->children, name);
    if (node != NULL && memory_is_directory(node))
        return no_place(rs_str_c(path), err);
    if (node == NULL) {
        *out_old = NULL;
        return add_locked(memory, parent, name, object, &node, err);
    }
    *out_old = node->object;
    node->object = object;
    touch_locked(memory, parent);
    return RS_OK;
}

struct memory_node *memory_detach_locked(struct memory *memory, const char *path)
{
    rs_str name;
    struct memory_node *parent = find_locked(memory, parent_of(path, &name));
    if (parent == NULL || !memory_is_directory(parent))
        return NULL;
    struct memory_node **at = slot_of(&parent->children, name);
    struct memory_node *node = *at;
    if (node == NULL)
        return NULL;
    *at = merge(node->left, node->right);
    node->left = node->right = NULL;
    touch_locked(memory, parent);
    return node;
}

/* Turns the tree into a list as it goes, so that neither its width nor its depth costs any stack. */
void memory_destroy(struct memory *memory, struct memory_node *node)
{
    uint64_t freed = 0;
    while (node != NULL) {
        struct memory_node *left = node->left;
        if (left != NULL) {
            node->left = left->right;
            left->right = node;
            node = left;
        } else if (node->children != NULL) {
            node->left = rs_take(&node->children);
        } else {
            struct memory_node *next = node->right;
            freed += cost_of(memory_node_name(node));
            memory_object_unref(&node->object);
            free(node);
            node = next;
        }
    }
    rs_mutex_lock(&memory->mutex);
    memory->used -= freed;
    rs_mutex_unlock(&memory->mutex);
}
