/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted listings of small directories, for every driver. */
#include "base/mem.h"
#include "storage/storage_priv.h"

#define LIST_MAX (16u << 20) /* bytes of names */

/* Each name with a byte that tells directories before it, and a NUL behind it; and where each begins. */
struct names {
    struct rs_buf bytes;
    struct rs_buf starts;
    rs_str after;
};

static void names_release(struct names *names)
{
    rs_buf_release(&names->bytes);
    rs_buf_release(&names->starts);
}

static int compare_names(const void *a, const void *b, void *bytes)
{
    const char *base = bytes;
    return strcmp(base + *(const uint32_t *)a + 1, base + *(const uint32_t *)b + 1);
}

static bool add_name(void *ctx, rs_str name, bool is_directory)
{
    struct names *names = ctx;
    uint32_t start = (uint32_t)names->bytes.len;
    if (rs_str_cmp(name, names->after) <= 0)
        return true;
    rs_buf_add_char(&names->bytes, is_directory ? 'd' : 'f');
    rs_buf_add(&names->bytes, name);
    rs_buf_add_char(&names->bytes, '\0');
    rs_buf_append(&names->starts, &start, sizeof(start));
    return !names->bytes.overflow && !names->starts.overflow;
}

rs_rc rs_storage_list(struct rs_storage *storage, const char *path, rs_str after, rs_storage_visit *visit, void *ctx,
                      struct rs_err *err)
{
    RS_AUTO(names_release) struct names names = {.after = after};
    rs_buf_init(&names.bytes, LIST_MAX);
    rs_buf_init(&names.starts, LIST_MAX);
    RS_TRY(rs_storage_scan(storage, path, add_name, &names, err));
    if (names.bytes.overflow || names.starts.overflow)
        return rs_err_set(err, RS_E_TOO_BIG, "%s has too many entries", path);
    size_t count = names.starts.len / sizeof(uint32_t);
    uint32_t *starts = (uint32_t *)(void *)names.starts.ptr;
    if (count > 1)
        qsort_r(starts, count, sizeof(*starts), compare_names, names.bytes.ptr);
    for (size_t i = 0; i < count; i++) {
        const char *entry = names.bytes.ptr + starts[i];
        if (!visit(ctx, rs_str_c(entry + 1), entry[0] == 'd'))
            break;
    }
    return RS_OK;
}
