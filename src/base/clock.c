/* SPDX-License-Identifier: Apache-2.0 */
/* No gmtime_r: the C library takes a process-wide lock in it, and dates are on the hot path. */
#include "base/clock.h"

#include <errno.h>
#include <sys/random.h>

#define DAY_S 86400
#define NS_PER_MS 1000000
#define YEAR_10000_S INT64_C(253402300800) /* the first second that has no four-digit year */

struct civil {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second;
    int weekday; /* 0 is Sunday */
};

static const char day_names[7][10] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static int64_t now_ns(clockid_t clock)
{
    struct timespec ts;
    RS_ASSERT(clock_gettime(clock, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* The coarse clock advances with the kernel's tick, some ms, and costs a fifth. */
int64_t rs_mono_ms(void)
{
    return now_ns(CLOCK_MONOTONIC_COARSE) / NS_PER_MS;
}

int64_t rs_mono_us(void)
{
    return now_ns(CLOCK_MONOTONIC) / 1000;
}

int64_t rs_wall_ms(void)
{
    return now_ns(CLOCK_REALTIME_COARSE) / NS_PER_MS;
}

void rs_sleep_ms(int64_t ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

int64_t rs_wall_s(void)
{
    return time(NULL);
}

/* --- the calendar: days are counted in years that begin in March, so that a leap day comes last --- */

/* Days from 1970-01-01 to the date; years from 0. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t months = (month + 9) % 12; /* since March */
    int64_t days = y * 365 + y / 4 - y / 100 + y / 400 + (months * 153 + 2) / 5 + day - 1;
    return y < 0 ? days - 1 - 719468 : days - 719468; /* year -1 holds the January and February of year 0 */
}

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* What a date line cannot show becomes the nearest that it can. */
static struct civil civil_of(int64_t wall_s)
{
    wall_s = RS_MIN(RS_MAX(wall_s, 0), YEAR_10000_S - 1);
    int64_t days = wall_s / DAY_S;
    int rest = (int)(wall_s % DAY_S);
    struct civil c = {.hour = rest / 3600, .minute = rest / 60 % 60, .second = rest % 60};
    c.weekday = (int)((days + 4) % 7);
    c.year = (int)(1970 + days / 366); /* a lower bound, at most some years off */
    while (days_from_date(c.year + 1, 1, 1) <= days)
        c.year++;
    c.month = 1;
    while (c.month < 12 && days_from_date(c.year, c.month + 1, 1) <= days)
        c.month++;
    c.day = (int)(days - days_from_date(c.year, c.month, 1)) + 1;
    return c;
}

static bool civil_valid(const struct civil *c)
{
    return c->month >= 1 && c->month <= 12 && c->day >= 1 && c->day <= days_in_month(c->year, c->month) &&
           c->hour <= 23 && c->minute <= 59 && c->second <= 60; /* 60: a leap second */
}

static int64_t civil_seconds(const struct civil *c)
{
    int64_t days = days_from_date(c->year, c->month, c->day);
    return days * DAY_S + c->hour * 3600 + c->minute * 60 + c->second;
}

void rs_http_date(int64_t wall_s, char out[RS_HTTP_DATE_SIZE])
{
    static _Thread_local int64_t last_s = -1;
    static _Thread_local char last[RS_HTTP_DATE_SIZE];
    if (wall_s != last_s) {
        struct civil c = civil_of(wall_s);
        snprintf(last, sizeof last, "%.3s, %02u %s %04u %02u:%02u:%02u GMT", day_names[c.weekday],
                 (unsigned)c.day % 100, month_names[c.month - 1], (unsigned)c.year % 10000, (unsigned)c.hour % 100,
                 (unsigned)c.minute % 100, (unsigned)c.second % 100);
        last_s = wall_s;
    }
    memcpy(out, last, RS_HTTP_DATE_SIZE);
}

void rs_rfc3339(int64_t wall_s, char out[RS_RFC3339_SIZE])
{
    struct civil c = civil_of(wall_s);
    snprintf(out, RS_RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ", c.year, c.month, c.day, c.hour, c.minute,
             c.second);
}

void rs_rfc3339_ns(const struct timespec *wall, char out[RS_RFC3339_SIZE])
{
    struct civil c = civil_of(wall->tv_sec);
    snprintf(out, RS_RFC3339_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", c.year, c.month, c.day, c.hour, c.minute,
             c.second, wall->tv_nsec);
}

/* --- reading: each take_* removes what it recognised from the front of *s --- */

static bool take(rs_str *s, rs_str text)
{
    if (!rs_str_starts(*s, text))
        return false;
    *s = rs_str_from(*s, text.len);
    return true;
}

static bool take_number(rs_str *s, size_t digits, int *out)
{
    uint64_t value;
    if (s->len < digits || !rs_str_u64(rs_str_sub(*s, 0, digits), 9999, &value))
        return false;
    *s = rs_str_from(*s, digits);
    *out = (int)value;
    return true;
}

static bool take_month(rs_str *s, int *out)
{
    for (int i = 0; i < 12; i++) {
        if (take(s, rs_str_c(month_names[i]))) {
            *out = i + 1;
            return true;
        }
    }
    return false;
}

static bool take_clock(rs_str *s, struct civil *c)
{
    return take_number(s, 2, &c->hour) && take(s, RS_STR(":")) && take_number(s, 2, &c->minute) &&
           take(s, RS_STR(":")) && take_number(s, 2, &c->second);
}

/* The name of a day, in full or its first three letters, up to what follows it. */
static bool take_day_name(rs_str *s, bool full)
{
    for (size_t i = 0; i < RS_COUNT(day_names); i++) {
        rs_str name = rs_str_c(day_names[i]);
        if (take(s, full ? name : rs_str_sub(name, 0, 3)))
            return true;
    }
    return false;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool parse_imf(rs_str s, struct civil *c)
{
    return take_day_name(&s, false) && take(&s, RS_STR(", ")) && take_number(&s, 2, &c->day) && take(&s, RS_STR(" ")) &&
           take_month(&s, &c->month) && take(&s, RS_STR(" ")) && take_number(&s, 4, &c->year) &&
           take(&s, RS_STR(" ")) && take_clock(&s, c) && take(&s, RS_STR(" GMT")) && s.len == 0;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT"; a year over 50 years ahead is one of the past century (RFC 9110 5.6.7). */
static bool parse_rfc850(rs_str s, struct civil *c)
{
    if (!(take_day_name(&s, true) && take(&s, RS_STR(", ")) && take_number(&s, 2, &c->day) && take(&s, RS_STR("-")) &&
          take_month(&s, &c->month) && take(&s, RS_STR("-")) && take_number(&s, 2, &c->year) && take(&s, RS_STR(" ")) &&
          take_clock(&s, c) && take(&s, RS_STR(" GMT")) && s.len == 0))
        return false;
    int now = civil_of(rs_wall_s()).year;
    c->year += now - now % 100;
    if (c->year > now + 50)
        c->year -= 100;
    return true;
}

/* "Sun Nov  6 08:49:37 1994" */
static bool parse_asctime(rs_str s, struct civil *c)
{
    return take_day_name(&s, false) && take(&s, RS_STR(" ")) && take_month(&s, &c->month) && take(&s, RS_STR(" ")) &&
           take_number(&s, take(&s, RS_STR(" ")) ? 1 : 2, &c->day) && take(&s, RS_STR(" ")) && take_clock(&s, c) &&
           take(&s, RS_STR(" ")) && take_number(&s, 4, &c->year) && s.len == 0;
}

bool rs_http_date_parse(rs_str s, int64_t *out_wall_s)
{
    struct civil c = {0};
    if (!parse_imf(s, &c) && !parse_rfc850(s, &c) && !parse_asctime(s, &c))
        return false;
    if (!civil_valid(&c))
        return false;
    *out_wall_s = civil_seconds(&c);
    return true;
}

static size_t count_digits(rs_str s)
{
    size_t n = 0;
    while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    return n;
}

static bool take_fraction(rs_str *s)
{
    if (!take(s, RS_STR(".")))
        return true;
    size_t digits = count_digits(*s);
    *s = rs_str_from(*s, digits);
    return digits > 0;
}

/* "Z" or "+01:30", to seconds east of Greenwich. */
static bool take_zone(rs_str *s, int *out_s)
{
    *out_s = 0;
    if (take(s, RS_STR("Z")) || take(s, RS_STR("z")))
        return true;
    bool west = take(s, RS_STR("-"));
    int hours;
    int minutes;
    if ((!west && !take(s, RS_STR("+"))) || !take_number(s, 2, &hours) || !take(s, RS_STR(":")) ||
        !take_number(s, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *out_s = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

bool rs_rfc3339_parse(rs_str s, int64_t *out_wall_s)
{
    struct civil c = {0};
    int zone_s;
    bool date = take_number(&s, 4, &c.year) && take(&s, RS_STR("-")) && take_number(&s, 2, &c.month) &&
                take(&s, RS_STR("-")) && take_number(&s, 2, &c.day);
    if (!date || !(take(&s, RS_STR("T")) || take(&s, RS_STR("t"))))
        return false;
    if (!take_clock(&s, &c) || !take_fraction(&s) || !take_zone(&s, &zone_s) || s.len != 0 || !civil_valid(&c))
        return false;
    *out_wall_s = civil_seconds(&c) - zone_s;
    return true;
}

/* --- durations --- */

static const struct {
    rs_str name;
    uint64_t ns;
} units[] = {
    /* "ms" before "m" */
    {{"ns", 2}, 1},
    {{"us", 2}, 1000},
    {{"\xc2\xb5s", 3}, 1000}, /* micro sign */
    {{"\xce\xbcs", 3}, 1000}, /* Greek mu */
    {{"ms", 2}, NS_PER_MS},
    {{"s", 1}, UINT64_C(1000000000)},
    {{"m", 1}, UINT64_C(60000000000)},
    {{"h", 1}, UINT64_C(3600000000000)},
};

static bool take_unit(rs_str *s, uint64_t *out_ns)
{
    for (size_t i = 0; i < RS_COUNT(units); i++) {
        if (take(s, units[i].name)) {
            *out_ns = units[i].ns;
            return true;
        }
    }
    return false;
}

/* The decimal digits behind a point as a fraction of 1. */
static double fraction_of(rs_str digits)
{
    double value = 0;
    for (size_t i = digits.len; i > 0; i--)
        value = (value + (digits.ptr[i - 1] - '0')) / 10;
    return value;
}

/* One "1.5h"; adds to *ns. False if it is not one or the sum leaves Go's range of 63 bits. */
static bool take_term(rs_str *s, uint64_t *ns)
{
    rs_str whole = rs_str_sub(*s, 0, count_digits(*s));
    *s = rs_str_from(*s, whole.len);
    rs_str part = {NULL, 0};
    if (take(s, RS_STR("."))) {
        part = rs_str_sub(*s, 0, count_digits(*s));
        *s = rs_str_from(*s, part.len);
    }
    uint64_t value = 0;
    uint64_t unit_ns;
    if (whole.len + part.len == 0 || !take_unit(s, &unit_ns))
        return false;
    if (whole.len > 0 && !rs_str_u64(whole, INT64_MAX / unit_ns, &value))
        return false;
    uint64_t term = value * unit_ns + (uint64_t)(fraction_of(part) * (double)unit_ns + 0.5);
    if (term > INT64_MAX - *ns)
        return false;
    *ns += term;
    return true;
}

bool rs_duration_parse(rs_str s, int64_t *out_ms)
{
    uint64_t ns = 0;
    bool negative = take(&s, RS_STR("-"));
    if (!negative)
        (void)take(&s, RS_STR("+"));
    if (s.len == 0)
        return false;
    if (rs_str_eq(s, RS_STR("0")))
        s.len = 0;
    while (s.len > 0) {
        if (!take_term(&s, &ns))
            return false;
    }
    if (negative && ns > 0)
        return false;
    *out_ms = (int64_t)(ns / NS_PER_MS + (ns % NS_PER_MS != 0));
    return true;
}

/* --- randomness --- */

void rs_random(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        RS_ASSERT(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

void rs_uuid4(char out[RS_UUID_SIZE])
{
    uint8_t raw[16];
    char hex[33];
    rs_random(raw, sizeof raw);
    raw[6] = (raw[6] & 0x0f) | 0x40; /* version 4 */
    raw[8] = (raw[8] & 0x3f) | 0x80; /* the variant of RFC 9562 */
    rs_hex_encode(raw, sizeof raw, hex);
    snprintf(out, RS_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool rs_uuid_valid(rs_str s)
{
    if (s.len != RS_UUID_SIZE - 1)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.ptr[i] != '-' : !is_hex(s.ptr[i]))
            return false;
    }
    return true;
}
