/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json.h"

#define DEPTH_MAX 64
#define CONTAINERS_MAX 50000
#define MEMBERS_MAX 250000

rs_rc rs_json_check(rs_str bytes, struct rs_err *err)
{
    size_t depth = 0;
    size_t containers = 0;
    size_t members = 0;
    bool in_string = false;
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];
        if (c == '"')
            in_string = !in_string;
        else if (in_string)
            i += c == '\\';
        else if (c == '{' || c == '[')
            depth++, containers++;
        else if (c == '}' || c == ']')
            depth -= depth > 0;
        else if (c == ',')
            members++;
        if (depth > DEPTH_MAX)
            return rs_err_set(err, RS_E_INVALID, "byte %zu: the JSON is nested more than %d deep", i, DEPTH_MAX);
    }
    if (containers > CONTAINERS_MAX || members > MEMBERS_MAX)
        return rs_err_set(err, RS_E_INVALID,
                          "the JSON has too many values: %d objects and arrays and %d members are allowed",
                          CONTAINERS_MAX, MEMBERS_MAX);
    return RS_OK;
}

bool rs_json_folds_to(const char *key, const char *name)
{
    for (; *key != '\0' && *name != '\0'; key++, name++) {
        rs_str rest = rs_str_c(key);
        char c = *key;
        if (rs_str_starts(rest, RS_STR("\xc5\xbf")))
            c = 's', key += 1;
        else if (rs_str_starts(rest, RS_STR("\xe2\x84\xaa")))
            c = 'k', key += 2;
        if (!rs_str_eq_nocase((rs_str){&c, 1}, (rs_str){name, 1}))
            return false;
    }
    return *key == '\0' && *name == '\0';
}

void rs_json_free(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}
