/* SPDX-License-Identifier: Apache-2.0 */
/* Private to client: libcurl's handles. Each keeps its connections open between two uses. Any thread. */
#pragma once

#include <curl/curl.h>

void client_pool_ready(void); /* before anything of libcurl's; as often as one likes */
/* One that has talked to this origin if there is an idle one, else a new one; options unset. NULL: no memory. */
CURL *client_pool_take(const char *origin);
void client_pool_give(CURL *easy, const char *origin);
