/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that are too easy to get wrong: using one is a compile error. Forced into every file by the build. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* some C libraries make macros of these */
#undef sprintf
#undef vsprintf
#undef alloca

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok atoi atol atoll
#pragma GCC poison gmtime localtime ctime asctime
#pragma GCC poison tmpnam mktemp alloca
