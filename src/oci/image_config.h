/* SPDX-License-Identifier: Apache-2.0 */
/* Image configurations (image-spec, config.md). Pure; any thread. */
#pragma once

#include "base/mem.h"
#include "base/str.h"

/* "linux/amd64", "linux/arm/v7": the platform that a configuration names, in the arena. Empty if it names none, as an
 * artifact's does, or is no JSON object. The bytes are a stranger's. */
rs_str rs_image_config_platform(rs_str bytes, struct rs_arena *arena);
