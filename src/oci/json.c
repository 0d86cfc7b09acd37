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

void rs_json_free(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}
