/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule says of one tag, and why. Times that cannot be, of a clock that was wrong, keep. */
#include "base/clock.h"
#include "registry/manifest.h"
#include "upkeep/retention_priv.h"

#define MINUTE 60
#define HOUR 3600
#define DAY 86400
#define WALL_MAX (INT64_C(1) << 40) /* beyond any clock, and far from overflows */

/* Rounded up. */
static int64_t seconds(int64_t ms)
{
    return ms / 1000 + (ms % 1000 != 0);
}

static int64_t clamped(int64_t wall_s)
{
    return RS_MIN(RS_MAX(wall_s, 0), WALL_MAX);
}

static void add_two(struct rs_buf *out, int64_t large, const char *large_unit, int64_t small, const char *small_unit)
{
    rs_buf_printf(out, "%lld %s", (long long)large, large_unit);
    if (small > 0)
        rs_buf_printf(out, " %lld %s", (long long)small, small_unit);
}

void rs_retention_span(struct rs_buf *out, int64_t s)
{
    if (s >= DAY)
        add_two(out, s / DAY, s / DAY == 1 ? "day" : "days", s % DAY / HOUR, "h");
    else if (s >= HOUR)
        add_two(out, s / HOUR, "h", s % HOUR / MINUTE, "min");
    else if (s >= MINUTE)
        add_two(out, s / MINUTE, "min", s % MINUTE, "s");
    else
        rs_buf_printf(out, "%lld s", (long long)s);
}

/* "pushed 3 days ago" */
static void add_since(struct rs_buf *out, const char *verb, int64_t age_s)
{
    rs_buf_printf(out, "%s ", verb);
    if (age_s < 0) {
        rs_buf_add_c(out, "in the future");
        return;
    }
    rs_retention_span(out, age_s);
    rs_buf_add_c(out, " ago");
}

/* " (older_than: 30 days)" */
static void add_limit(struct rs_buf *out, const char *name, int64_t ms)
{
    rs_buf_printf(out, " (%s: ", name);
    rs_retention_span(out, seconds(ms));
    rs_buf_add_char(out, ')');
}

static void separate(struct rs_buf *out, size_t start, const char *word)
{
    if (out->len > start)
        rs_buf_printf(out, ", %s", word);
}

/* When it was last used, by a push or a pull. */
static bool last_was_pull(const struct rs_retention_case *c)
{
    return c->pulled_s != RS_RETENTION_NEVER && clamped(c->pulled_s) >= clamped(c->pushed_s);
}

static int64_t idle_of(const struct rs_retention_case *c)
{
    return c->now_s - clamped(last_was_pull(c) ? c->pulled_s : c->pushed_s);
}

/* Records of pulls may be older than the pulls. */
static int64_t pulled_limit(const struct rs_config_retention_rule *rule)
{
    return seconds(rule->not_pulled_for_ms) + RS_PULL_RESOLUTION_S;
}

static bool is_tracked_long_enough(const struct rs_config_retention_rule *rule, const struct rs_retention_case *c)
{
    return c->tracked_s != RS_RETENTION_NEVER && c->now_s - clamped(c->tracked_s) > pulled_limit(rule);
}

static bool is_old(const struct rs_config_retention_rule *rule, const struct rs_retention_case *c)
{
    return rule->older_than_ms > 0 && c->now_s - clamped(c->pushed_s) > seconds(rule->older_than_ms);
}

static bool is_unused(const struct rs_config_retention_rule *rule, const struct rs_retention_case *c)
{
    return rule->not_pulled_for_ms > 0 && is_tracked_long_enough(rule, c) && idle_of(c) > pulled_limit(rule);
}

static void why_not_unused(const struct rs_config_retention_rule *rule, const struct rs_retention_case *c,
                           struct rs_buf *reason)
{
    if (idle_of(c) <= pulled_limit(rule)) {
        add_since(reason, last_was_pull(c) ? "pulled" : "pushed", idle_of(c));
    } else if (c->tracked_s == RS_RETENTION_NEVER) {
        rs_buf_add_c(reason, "pulls are not tracked yet");
    } else {
        rs_buf_add_c(reason, "pulls have been tracked for only ");
        rs_retention_span(reason, RS_MAX(c->now_s - clamped(c->tracked_s), 0));
    }
    add_limit(reason, "not_pulled_for", rule->not_pulled_for_ms);
}

static bool keep_for_times(const struct rs_config_retention_rule *rule, const struct rs_retention_case *c,
                           struct rs_buf *reason, size_t start)
{
    if (rule->older_than_ms > 0) {
        separate(reason, start, "but ");
        add_since(reason, "pushed", c->now_s - clamped(c->pushed_s));
        add_limit(reason, "older_than", rule->older_than_ms);
    }
    if (rule->not_pulled_for_ms > 0) {
        separate(reason, start, rule->older_than_ms > 0 ? "and " : "but ");
        why_not_unused(rule, c, reason);
    }
    return false;
}

static bool judge_times(const struct rs_config_retention_rule *rule, const struct rs_retention_case *c,
                        struct rs_buf *reason, size_t start)
{
    if (is_old(rule, c)) {
        separate(reason, start, "");
        add_since(reason, "pushed", c->now_s - clamped(c->pushed_s));
        add_limit(reason, "older_than", rule->older_than_ms);
        return true;
    }
    if (is_unused(rule, c)) {
        separate(reason, start, "");
        rs_buf_add_c(reason, c->pulled_s == RS_RETENTION_NEVER ? "no pull on record, " : "");
        add_since(reason, last_was_pull(c) ? "last pulled" : "pushed", idle_of(c));
        add_limit(reason, "not_pulled_for", rule->not_pulled_for_ms);
        return true;
    }
    return keep_for_times(rule, c, reason, start);
}

bool rs_retention_decide(const struct rs_config_retention_rule *rule, const struct rs_retention_case *c,
                         struct rs_buf *reason)
{
    size_t start = reason->len;
    if (c->kept_by != NULL) {
        rs_buf_printf(reason, "matches %s of keep_tags", c->kept_by);
        return false;
    }
    if (c->companion != NULL) {
        rs_buf_printf(reason, "belongs to %s, which is there", c->companion);
        return false;
    }
    if (rule->keep_last > 0 && c->number > 0) {
        rs_buf_printf(reason, "number %llu of %llu by push time (keep_last: %llu)", (unsigned long long)c->number,
                      (unsigned long long)c->of, (unsigned long long)rule->keep_last);
        return false;
    }
    if (rule->keep_last > 0)
        rs_buf_printf(reason, "not among the newest of %llu (keep_last: %llu)", (unsigned long long)c->of,
                      (unsigned long long)rule->keep_last);
    if (rule->older_than_ms == 0 && rule->not_pulled_for_ms == 0)
        return true;
    return judge_times(rule, c, reason, start);
}
