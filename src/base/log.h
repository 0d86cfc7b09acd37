/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line an event, as registry:2's formats (text, json, logstash). Only handlers, workers and commands log;
 * other functions return errors. Strings are escaped; whoever logs keeps secrets out. Any thread.
 */
#pragma once

#include "base/cc.h"
#include "base/str.h"

enum rs_log_level { RS_LOG_ERROR, RS_LOG_WARN, RS_LOG_INFO, RS_LOG_DEBUG };
enum rs_log_format { RS_LOG_TEXT, RS_LOG_JSON, RS_LOG_LOGSTASH };

struct rs_log_field {
    const char *key;
    rs_str value; /* when is_number is false; an empty value leaves the field out */
    int64_t number;
    bool is_number;
};

#define RS_LOG_STR(k, v) ((struct rs_log_field){.key = (k), .value = (v)})
#define RS_LOG_NUM(k, v) ((struct rs_log_field){.key = (k), .number = (int64_t)(v), .is_number = true})

/* Before other threads run. `fields` are added to every event and borrowed for good. Default: text, info, stderr. */
void rs_log_configure(enum rs_log_format format, enum rs_log_level level, const struct rs_log_field *fields, size_t n);
bool rs_log_enabled(enum rs_log_level level);
void rs_log(enum rs_log_level level, const char *fmt, ...) RS_PRINTF(2, 3);
void rs_log_event(enum rs_log_level level, const char *message, const struct rs_log_field *fields, size_t n);

/* Appends s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void rs_json_quote(struct rs_buf *out, rs_str s);
