/* SPDX-License-Identifier: Apache-2.0 */
/* Image configurations that strangers pushed, of which a search reads the platform. */
#include "oci/image_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RS_AUTO(rs_arena_free) struct rs_arena *arena = rs_arena_new();
    rs_str platform = rs_image_config_platform((rs_str){(const char *)data, size}, arena);
    RS_ASSERT(platform.len <= (size_t)3 * 64 + 2);
    return 0;
}
