/* SPDX-License-Identifier: Apache-2.0 */
/* Time and randomness. Any thread. */
#pragma once

#include <time.h>

#include "base/cc.h"
#include "base/str.h"

void rs_sleep_ms(int64_t ms); /* a signal may end it early */
int64_t rs_mono_ms(void);     /* milliseconds of a clock that never jumps; as exact as the kernel's tick (1 to 10 ms) */
int64_t rs_mono_us(void);
int64_t rs_wall_ms(void); /* milliseconds since 1970, as exact as rs_mono_ms */
int64_t rs_wall_s(void);  /* seconds since 1970, UTC */

#define RS_HTTP_DATE_SIZE 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and NUL */
void rs_http_date(int64_t wall_s, char out[RS_HTTP_DATE_SIZE]);
bool rs_http_date_parse(rs_str s, int64_t *out_wall_s); /* the three forms of RFC 9110 5.6.7 */

#define RS_RFC3339_SIZE 36
void rs_rfc3339(int64_t wall_s, char out[RS_RFC3339_SIZE]);                 /* "2026-11-20T13:20:13Z" */
void rs_rfc3339_ns(const struct timespec *wall, char out[RS_RFC3339_SIZE]); /* with nanoseconds */
bool rs_rfc3339_parse(rs_str s, int64_t *out_wall_s);                       /* any offset and fraction */
/* Go's duration syntax ("1h30m", "250ms", "0"), to milliseconds, rounded up. False if it is not one, or negative. */
bool rs_duration_parse(rs_str s, int64_t *out_ms);

void rs_random(void *out, size_t len); /* from the kernel; never fails */
#define RS_UUID_SIZE 37
void rs_uuid4(char out[RS_UUID_SIZE]);
bool rs_uuid_valid(rs_str s); /* 8-4-4-4-12 lower- or upper-case hexadecimal digits */
