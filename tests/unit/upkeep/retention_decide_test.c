/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule says of a tag, and which tags are the newest: pure functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "upkeep/retention_priv.h"

#define HOUR INT64_C(3600)
#define DAY (24 * HOUR)
#define NOW (INT64_C(1790000000))
#define NEVER RS_RETENTION_NEVER
#define MS(s) ((s)*1000)

struct row {
    struct rs_config_retention_rule rule;
    struct rs_retention_case c;
    bool goes;
    const char *reason;
};

static const struct row rows[] = {
    /* names */
    {{.keep_last = 1}, {.kept_by = "v*", .of = 9}, false, "matches v* of keep_tags"},
    {{.older_than_ms = MS(DAY)},
     {.companion = "sha256:ab", .pushed_s = NOW - 9 * DAY},
     false,
     "belongs to sha256:ab, which is there"},
    /* keep_last alone */
    {{.keep_last = 3}, {.number = 3, .of = 12}, false, "number 3 of 12 by push time (keep_last: 3)"},
    {{.keep_last = 3}, {.number = 0, .of = 12}, true, "not among the newest of 12 (keep_last: 3)"},
    {{.keep_last = 30}, {.number = 12, .of = 12}, false, "number 12 of 12 by push time (keep_last: 30)"},
    /* older_than alone: the limit itself is not beyond it */
    {{.older_than_ms = MS(30 * DAY)}, {.pushed_s = NOW - 30 * DAY}, false, "pushed 30 days ago (older_than: 30 days)"},
    {{.older_than_ms = MS(30 * DAY)},
     {.pushed_s = NOW - 30 * DAY - HOUR},
     true,
     "pushed 30 days 1 h ago (older_than: 30 days)"},
    {{.older_than_ms = 1500}, {.pushed_s = NOW - 2}, false, "pushed 2 s ago (older_than: 2 s)"},
    {{.older_than_ms = 1500}, {.pushed_s = NOW - 3}, true, "pushed 3 s ago (older_than: 2 s)"},
    /* both: only beyond the last N, and only what is old */
    {{.keep_last = 2, .older_than_ms = MS(DAY)},
     {.number = 1, .of = 5, .pushed_s = NOW - 9 * DAY},
     false,
     "number 1 of 5 by push time (keep_last: 2)"},
    {{.keep_last = 2, .older_than_ms = MS(DAY)},
     {.of = 5, .pushed_s = NOW - HOUR},
     false,
     "not among the newest of 5 (keep_last: 2), but pushed 1 h ago (older_than: 1 day)"},
    {{.keep_last = 2, .older_than_ms = MS(DAY)},
     {.of = 5, .pushed_s = NOW - 9 * DAY},
     true,
     "not among the newest of 5 (keep_last: 2), pushed 9 days ago (older_than: 1 day)"},
    /* clocks that were wrong keep */
    {{.older_than_ms = MS(DAY)}, {.pushed_s = NOW + DAY}, false, "pushed in the future (older_than: 1 day)"},
    {{.older_than_ms = MS(DAY)}, {.pushed_s = INT64_MAX}, false, "pushed in the future (older_than: 1 day)"},
    {{.older_than_ms = MS(DAY)}, {.now_s = 5, .pushed_s = NOW}, false, "pushed in the future (older_than: 1 day)"},
    {{.not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 9 * DAY, .pulled_s = NOW + DAY, .tracked_s = NOW - 9 * DAY},
     false,
     "pulled in the future (not_pulled_for: 1 day)"},
    {{.not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 9 * DAY, .pulled_s = NEVER, .tracked_s = NOW + DAY},
     false,
     "pulls have been tracked for only 0 s (not_pulled_for: 1 day)"},
    /* pulls: a record is up to an hour older than the pull */
    {{.not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 9 * DAY, .pulled_s = NOW - DAY - HOUR, .tracked_s = NOW - 9 * DAY},
     false,
     "pulled 1 day 1 h ago (not_pulled_for: 1 day)"},
    {{.not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 9 * DAY, .pulled_s = NOW - DAY - HOUR - 1, .tracked_s = NOW - 9 * DAY},
     true,
     "last pulled 1 day 1 h ago (not_pulled_for: 1 day)"},
    {{.not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 2 * DAY, .pulled_s = NEVER, .tracked_s = NOW - 9 * DAY},
     true,
     "no pull on record, pushed 2 days ago (not_pulled_for: 1 day)"},
    {{.not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - HOUR, .pulled_s = NOW - 9 * DAY, .tracked_s = NOW - 9 * DAY},
     false,
     "pushed 1 h ago (not_pulled_for: 1 day)"},
    {{.not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 9 * DAY, .pulled_s = NEVER, .tracked_s = NEVER},
     false,
     "pulls are not tracked yet (not_pulled_for: 1 day)"},
    {{.not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 9 * DAY, .pulled_s = NEVER, .tracked_s = NOW - DAY - HOUR},
     false,
     "pulls have been tracked for only 1 day 1 h (not_pulled_for: 1 day)"},
    {{.not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 9 * DAY, .pulled_s = NEVER, .tracked_s = NOW - DAY - HOUR - 1},
     true,
     "no pull on record, pushed 9 days ago (not_pulled_for: 1 day)"},
    /* either time is enough */
    {{.older_than_ms = MS(2 * DAY), .not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 3 * DAY, .pulled_s = NOW - 60, .tracked_s = NOW - 9 * DAY},
     true,
     "pushed 3 days ago (older_than: 2 days)"},
    {{.older_than_ms = MS(4 * DAY), .not_pulled_for_ms = MS(DAY)},
     {.pushed_s = NOW - 3 * DAY, .pulled_s = NOW - 61, .tracked_s = NOW - 9 * DAY},
     false,
     "pushed 3 days ago (older_than: 4 days), and pulled 1 min 1 s ago (not_pulled_for: 1 day)"},
    {{.keep_last = 1, .not_pulled_for_ms = MS(DAY)},
     {.of = 2, .pushed_s = NOW - 3 * DAY, .pulled_s = NOW - 2 * DAY, .tracked_s = NOW - 9 * DAY},
     true,
     "not among the newest of 2 (keep_last: 1), last pulled 2 days ago (not_pulled_for: 1 day)"},
};

static void each_case_has_its_fate_and_reason(void **state)
{
    struct rs_buf reason;
    (void)state;
    rs_buf_init(&reason, 1024);
    for (size_t i = 0; i < RS_COUNT(rows); i++) {
        struct rs_retention_case c = rows[i].c;
        c.now_s = c.now_s != 0 ? c.now_s : NOW;
        rs_buf_clear(&reason);
        bool goes = rs_retention_decide(&rows[i].rule, &c, &reason);
        if (goes != rows[i].goes)
            print_error("row %zu: %s\n", i, rs_buf_z(&reason));
        assert_string_equal(rs_buf_z(&reason), rows[i].reason);
        assert_int_equal(goes, rows[i].goes);
    }
    rs_buf_release(&reason);
}

static void add(struct rs_newest *n, const char *name, int64_t pushed_s)
{
    rs_newest_add(n, rs_str_c(name), pushed_s);
}

static uint64_t number(const struct rs_newest *n, const char *name, int64_t pushed_s)
{
    return rs_newest_number(n, rs_str_c(name), pushed_s);
}

static void the_newest_are_told_from_the_rest(void **state)
{
    struct rs_newest n;
    (void)state;
    rs_newest_init(&n, 3);
    add(&n, "c", 30);
    add(&n, "a", 10);
    add(&n, "e", 50);
    add(&n, "b", 20);
    add(&n, "d", 40);
    rs_newest_sort(&n);
    assert_int_equal(n.seen, 5);
    assert_int_equal(number(&n, "e", 50), 1);
    assert_int_equal(number(&n, "d", 40), 2);
    assert_int_equal(number(&n, "c", 30), 3);
    assert_int_equal(number(&n, "b", 20), 0);
    assert_int_equal(number(&n, "a", 10), 0);
    assert_int_equal(number(&n, "a", 60), 1); /* pushed again since */
    assert_int_equal(number(&n, "pushed meanwhile", 45), 2);
    rs_newest_release(&n);
}

static void of_one_second_the_later_name_is_newer(void **state)
{
    struct rs_newest n;
    (void)state;
    rs_newest_init(&n, 2);
    add(&n, "v2", 10);
    add(&n, "v1", 10);
    add(&n, "v10", 10);
    add(&n, "v3", 10);
    rs_newest_sort(&n);
    assert_int_equal(number(&n, "v3", 10), 1);
    assert_int_equal(number(&n, "v2", 10), 2);
    assert_int_equal(number(&n, "v10", 10), 0);
    assert_int_equal(number(&n, "v1", 10), 0);
    rs_newest_release(&n);
}

static void fewer_than_the_limit_are_all_the_newest(void **state)
{
    struct rs_newest n;
    (void)state;
    rs_newest_init(&n, 10);
    add(&n, "a", -5);
    add(&n, "b", INT64_MAX);
    rs_newest_sort(&n);
    assert_int_equal(number(&n, "b", INT64_MAX), 1);
    assert_int_equal(number(&n, "a", -5), 2);
    assert_int_equal(number(&n, "a", INT64_MIN), 3);
    rs_newest_release(&n);
    rs_newest_init(&n, 0);
    add(&n, "a", 1);
    rs_newest_sort(&n);
    assert_int_equal(number(&n, "a", 1), 0);
    assert_int_equal(n.seen, 1);
    rs_newest_release(&n);
}

/* Against a plain sort of everything. */
static void it_agrees_with_a_sort(void **state)
{
    struct rs_newest few, all;
    char name[32];
    (void)state;
    rs_newest_init(&few, 700);
    rs_newest_init(&all, RS_CONFIG_KEEP_LAST_MAX);
    for (uint32_t i = 0; i < RS_CONFIG_KEEP_LAST_MAX; i++) {
        snprintf(name, sizeof name, "tag-%u", i);
        add(&few, name, i * UINT32_C(2654435761) >> 20);
        add(&all, name, i * UINT32_C(2654435761) >> 20);
    }
    rs_newest_sort(&few);
    rs_newest_sort(&all);
    assert_int_equal(all.count, RS_CONFIG_KEEP_LAST_MAX);
    for (uint64_t i = 0; i < all.count; i++) {
        const struct rs_newest_tag *tag = &all.tags[i];
        const rs_str text = {tag->name, tag->len};
        assert_int_equal(rs_newest_number(&all, text, tag->pushed_s), i + 1);
        assert_int_equal(rs_newest_number(&few, text, tag->pushed_s), i < 700 ? i + 1 : 0);
    }
    rs_newest_release(&few);
    rs_newest_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case_has_its_fate_and_reason),
        cmocka_unit_test(the_newest_are_told_from_the_rest),
        cmocka_unit_test(of_one_second_the_later_name_is_newer),
        cmocka_unit_test(fewer_than_the_limit_are_all_the_newest),
        cmocka_unit_test(it_agrees_with_a_sort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
