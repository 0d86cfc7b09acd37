/* SPDX-License-Identifier: Apache-2.0 */
/* Private to config: addresses to listen on. */
#pragma once

#include "config/config.h"

/* What is wrong with it, or NULL. */
const char *config_address_check(enum rs_config_net net, const char *address);
/* "tcp://host:port" or "unix:///path"; *out borrows from text. Returns what is wrong with it, or NULL. */
const char *config_address_parse(const char *text, struct rs_config_listen *out);
