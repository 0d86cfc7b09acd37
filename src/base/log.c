/* SPDX-License-Identifier: Apache-2.0 */
/* An event is built in one buffer and leaves by one write(2), so that the lines of several threads do not mix. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>

#include "base/clock.h"
#include "base/sink.h"

#define LINE_MAX_BYTES (64 * 1024)
#define TAIL_BYTES (16 * 1024) /* kept free for what must stand behind the fields: the message, fully escaped */
#define VALUE_MAX_BYTES 4096   /* a longer value is cut */
#define MESSAGE_MAX_BYTES 2048

static struct {
    enum rs_log_format format;
    enum rs_log_level level;
    const struct rs_log_field *fields;
    size_t field_count;
} config = {RS_LOG_TEXT, RS_LOG_INFO, NULL, 0};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void rs_log_configure(enum rs_log_format format, enum rs_log_level level, const struct rs_log_field *fields, size_t n)
{
    config.format = format;
    config.level = level;
    config.fields = fields;
    config.field_count = n;
}

bool rs_log_enabled(enum rs_log_level level)
{
    return level <= config.level;
}

/* --- quoting --- */

/* The bytes of the UTF-8 character at the head of s, and its code point; 0 if there is none (RFC 3629). */
static size_t utf8_next(rs_str s, uint32_t *out)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t)s.ptr[0];
    size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (n == 0 || n > s.len)
        return 0;
    uint32_t point = n == 1 ? first : first & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        uint8_t next = (uint8_t)s.ptr[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (next & 0x3f);
    }
    if (point < least[n] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *out = point;
    return n;
}

/* Characters that a terminal or a viewer may take for a line end, a command or a change of direction. */
static bool is_unsafe(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || (point >= 0x200b && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) || point == 0xfeff;
}

/* The letter of a two-character escape, or 0. */
static char short_escape(uint32_t point)
{
    switch (point) {
    case '"':
    case '\\':
        return (char)point;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static void add_escaped(struct rs_buf *out, uint32_t point)
{
    char escape[] = {'\\', short_escape(point)};
    if (escape[1] != 0)
        rs_buf_append(out, escape, 2);
    else
        rs_buf_printf(out, "\\u%04x", point); /* is_unsafe holds nothing beyond four digits */
}

/* What needs no escape anywhere and no look at its neighbours: nearly all of what is logged. */
static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Both formats escape alike, but for bytes that are not UTF-8: JSON cannot show them, the text form prints \xNN. */
static void quote(struct rs_buf *out, rs_str s, bool json)
{
    size_t plain = 0; /* bytes at the head of s that go out as they are */
    rs_buf_add_char(out, '"');
    while (plain < s.len) {
        if (is_plain(s.ptr[plain])) {
            plain++;
            continue;
        }
        uint32_t point = 0;
        size_t n = utf8_next(rs_str_from(s, plain), &point);
        if (n > 1 && !is_unsafe(point)) {
            plain += n;
            continue;
        }
        rs_buf_append(out, s.ptr, plain);
        if (n > 0)
            add_escaped(out, point);
        else if (json)
            rs_buf_add(out, RS_STR("\xef\xbf\xbd"));
        else
            rs_buf_printf(out, "\\x%02x", (uint8_t)s.ptr[plain]);
        s = rs_str_from(s, plain + RS_MAX(n, 1));
        plain = 0;
    }
    rs_buf_append(out, s.ptr, plain);
    rs_buf_add_char(out, '"');
}

void rs_json_quote(struct rs_buf *out, rs_str s)
{
    quote(out, s, true);
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._/@^+", c) != NULL);
}

static void add_text_value(struct rs_buf *out, rs_str s)
{
    bool bare = s.len > 0;
    for (size_t i = 0; bare && i < s.len; i++)
        bare = is_bare(s.ptr[i]);
    if (bare)
        rs_buf_add(out, s);
    else
        quote(out, s, false);
}

/* --- the parts of a line --- */

static bool is_json(void)
{
    return config.format != RS_LOG_TEXT;
}

static void add_separator(struct rs_buf *line)
{
    if (line->len > 1) /* not at the beginning: JSON has its brace there */
        rs_buf_add_char(line, is_json() ? ',' : ' ');
}

static void add_key(struct rs_buf *line, const char *key)
{
    add_separator(line);
    if (is_json()) {
        rs_json_quote(line, rs_str_c(key));
        rs_buf_add_char(line, ':');
    } else {
        rs_buf_add_c(line, key);
        rs_buf_add_char(line, '=');
    }
}

static void add_pair(struct rs_buf *line, const char *key, rs_str value)
{
    add_key(line, key);
    if (is_json())
        rs_json_quote(line, value);
    else
        add_text_value(line, value);
}

static void add_field(struct rs_buf *line, const struct rs_log_field *field)
{
    if (field->is_number) {
        add_key(line, field->key);
        rs_buf_printf(line, "%lld", (long long)field->number);
    } else if (field->value.len > 0) {
        add_pair(line, field->key, rs_str_sub(field->value, 0, VALUE_MAX_BYTES));
    }
}

/* A field that no longer fits is left out whole, and those behind it: half a field would break the line's form. */
static void add_fields(struct rs_buf *line, const struct rs_log_field *fields, size_t n)
{
    for (size_t i = 0; i < n && !line->overflow; i++) {
        size_t before = line->len;
        add_field(line, &fields[i]);
        if (line->overflow)
            line->len = before;
    }
}

static void add_all_fields(struct rs_buf *line, const struct rs_log_field *fields, size_t n)
{
    line->max = LINE_MAX_BYTES - TAIL_BYTES;
    add_fields(line, config.fields, config.field_count);
    add_fields(line, fields, n);
    line->max = LINE_MAX_BYTES;
    line->overflow = false;
}

static void add_time(struct rs_buf *line, const char *key)
{
    struct timespec now;
    char text[RS_RFC3339_SIZE];
    clock_gettime(CLOCK_REALTIME, &now);
    rs_rfc3339_ns(&now, text);
    add_pair(line, key, rs_str_c(text));
}

static void build_text(struct rs_buf *line, const char *level, rs_str message, const struct rs_log_field *fields,
                       size_t n)
{
    add_time(line, "time");
    add_pair(line, "level", rs_str_c(level));
    add_pair(line, "msg", message);
    add_all_fields(line, fields, n);
}

static void build_json(struct rs_buf *line, const char *level, rs_str message, const struct rs_log_field *fields,
                       size_t n)
{
    rs_buf_add_char(line, '{');
    add_all_fields(line, fields, n);
    add_pair(line, "level", rs_str_c(level));
    add_pair(line, "msg", message);
    add_time(line, "time");
    rs_buf_add_char(line, '}');
}

static void build_logstash(struct rs_buf *line, const char *level, rs_str message, const struct rs_log_field *fields,
                           size_t n)
{
    rs_buf_add_char(line, '{');
    add_time(line, "@timestamp");
    add_pair(line, "@version", RS_STR("1"));
    add_pair(line, "level", rs_str_c(level));
    add_pair(line, "message", message);
    add_all_fields(line, fields, n);
    rs_buf_add_char(line, '}');
}

static void (*const builders[])(struct rs_buf *line, const char *level, rs_str message,
                                const struct rs_log_field *fields, size_t n) = {
    [RS_LOG_TEXT] = build_text,
    [RS_LOG_JSON] = build_json,
    [RS_LOG_LOGSTASH] = build_logstash,
};

static bool emit(enum rs_log_level level, const char *message, const struct rs_log_field *fields, size_t n)
{
    RS_AUTO(rs_buf_release) struct rs_buf line;
    rs_buf_init(&line, LINE_MAX_BYTES);
    rs_buf_reserve(&line, 1024);
    builders[config.format](&line, level_names[level], rs_str_sub(rs_str_c(message), 0, MESSAGE_MAX_BYTES), fields, n);
    rs_buf_add_char(&line, '\n');
    return rs_sink_write(RS_SINK_LOG, rs_buf_str(&line));
}

/* Whatever the level is: nobody shall take the log for whole. False: no line goes out now. */
static bool tell_dropped(void)
{
    uint64_t n = rs_sink_take_dropped(RS_SINK_LOG);
    if (n == 0)
        return true;
    char message[128];
    snprintf(message, sizeof message, "%llu log lines were dropped: the reader of the log is too slow",
             (unsigned long long)n);
    if (emit(RS_LOG_WARN, message, NULL, 0))
        return true;
    rs_sink_add_dropped(RS_SINK_LOG, n);
    return false;
}

void rs_log_event(enum rs_log_level level, const char *message, const struct rs_log_field *fields, size_t n)
{
    if (!rs_log_enabled(level))
        return;
    int saved = errno; /* whoever logs an error may still want to look at it */
    if (tell_dropped())
        (void)emit(level, message, fields, n); /* where could we tell that the log is broken? */
    errno = saved;                             /* if not, the notice was counted in the event's place */
}

void rs_log(enum rs_log_level level, const char *fmt, ...)
{
    if (!rs_log_enabled(level))
        return;
    char message[MESSAGE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    rs_log_event(level, n < 0 ? fmt : message, NULL, 0);
}
