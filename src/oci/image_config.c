/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/image_config.h"

#include "oci/json.h"

#define WORD_MAX 64 /* bytes of a part that is believed */

/* Nothing of a stranger's but words goes into the answer. */
static rs_str word(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    rs_str s = {json_string_value(value), json_string_length(value)};
    if (s.len > WORD_MAX)
        return (rs_str){NULL, 0};
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == '/' || s.ptr[i] == 0x7f)
            return (rs_str){NULL, 0};
    return s;
}

rs_str rs_image_config_platform(rs_str bytes, struct rs_arena *arena)
{
    RS_AUTO(rs_json_free) json_t *config = NULL;
    if (bytes.len == 0 || rs_json_check(bytes, NULL) != RS_OK)
        return (rs_str){NULL, 0};
    config = json_loadb(bytes.ptr, bytes.len, 0, NULL);
    rs_str os = word(config, "os"), architecture = word(config, "architecture"), variant = word(config, "variant");
    if (os.len == 0 || architecture.len == 0)
        return (rs_str){NULL, 0};
    return rs_arena_printf(arena, RS_STR_FMT "/" RS_STR_FMT "%s" RS_STR_FMT, RS_STR_ARG(os), RS_STR_ARG(architecture),
                           variant.len > 0 ? "/" : "", RS_STR_ARG(variant));
}
