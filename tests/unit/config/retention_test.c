/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of retention: they remove, so that what is not quite understood is an error. GOOD is two lines long. */
#include "told.h"

#define RULES(list) GOOD "roadstead:\n  retention:\n    rules:\n" list
#define RULE "roadstead.retention.rules[0]"

static void what_is_not_understood_is_an_error(void **state)
{
    static const struct told_case cases[] = {
        {RULES("    - {repositories: ['**'], keep_last: 1}\n"), NULL, ""},
        {RULES("    - {repositories: a/b, older_than: 720h}\n"), NULL, ""},
        {RULES("    - {repositories: [a, b], not_pulled_for: 1h}\n"), NULL, ""},
        {RULES("      []\n"), NULL, ""},
        {GOOD "roadstead: {retention: {interval: 1h, dry_run: true}}\n", NULL, ""},
        {GOOD "roadstead: {retention: {interval: 0s}}\n", NULL, "E 3 roadstead.retention.interval\n"},
        {GOOD "roadstead: {retention: {interval: 1d}}\n", NULL, "E 3 roadstead.retention.interval\n"},
        {GOOD "roadstead: {retention: {dryrun: true}}\n", NULL, "E 3 roadstead.retention.dryrun\n"},
        {GOOD "roadstead: {retention: {dry_run: 1}}\n", NULL, "E 3 roadstead.retention.dry_run\n"},
        {GOOD "roadstead: {retention: {rules: {keep_last: 1}}}\n", NULL, "E 3 roadstead.retention.rules\n"},
        {RULES("    - all\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    -\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {keep_last: 1}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: , keep_last: 1}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: [], keep_last: 1}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: '', keep_last: 1}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: [a, '['], keep_last: 1}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: {a: b}, keep_last: 1}\n"), NULL, "E 6 " RULE ".repositories\n"},
        {RULES("    - {repositories: [[a]], keep_last: 1}\n"), NULL, "E 6 " RULE ".repositories\n"},
        {RULES("    - {repositories: a, keep_last: 1, keep_tags: ['v[0-9']}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: a, keep_last: 1, keep_tags: ['']}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: a}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: a, keep_tags: ['*']}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: a, keep_last: 0, older_than: 0, not_pulled_for: 0s}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: a, keep_last: -1}\n"), NULL, "E 6 " RULE ".keep_last\n"},
        {RULES("    - {repositories: a, keep_last: 10001}\n"), NULL, "E 6 " RULE ".keep_last\n"},
        {RULES("    - {repositories: a, keep_last: some}\n"), NULL, "E 6 " RULE ".keep_last\n"},
        {RULES("    - {repositories: a, older_than: 30d}\n"), NULL, "E 6 " RULE ".older_than\n"},
        {RULES("    - {repositories: a, older_than: 30}\n"), NULL, "E 6 " RULE ".older_than\n"},
        {RULES("    - {repositories: a, older_than: -1h}\n"), NULL, "E 6 " RULE ".older_than\n"},
        {RULES("    - {repositories: a, not_pulled_for: 59m}\n"), NULL, "E 6 " RULE "\n"},
        {RULES("    - {repositories: a, keep_last: 1, keep: 5}\n"), NULL, "E 6 " RULE ".keep\n"},
        {RULES("    - {repositories: a, Keep_Last: 1}\n"), NULL, "E 6 " RULE ".Keep_Last\nE 6 " RULE "\n"},
        {RULES("    - {repositories: a, keep_last: 1}\n    - {repositories: b}\n"), NULL,
         "E 7 roadstead.retention.rules[1]\n"},
        {GOOD, "ROADSTEAD_RETENTION_RULES=[{repositories: a}]",
         "E ROADSTEAD_RETENTION_RULES roadstead.retention.rules[0]\n"},
    };
    (void)state;
    check_cases(cases, RS_COUNT(cases));
}

static void rules_keep_their_order(void **state)
{
    struct loaded l =
        load(RULES("    - repositories: [team/**, 'x?']\n      keep_tags: [v*, latest]\n      keep_last: 10\n"
                   "    - {repositories: '**', older_than: 2160h, not_pulled_for: 720h}\n"),
             "ROADSTEAD_RETENTION_INTERVAL=12h\nROADSTEAD_RETENTION_DRY_RUN=true");
    (void)state;
    assert_int_equal(l.rc, RS_OK);
    const struct rs_config_retention *retention = &l.config->retention;
    assert_int_equal(retention->interval_ms, 12 * 3600 * 1000);
    assert_true(retention->dry_run);
    assert_int_equal(retention->rule_count, 2);
    const struct rs_config_retention_rule *first = &retention->rules[0], *second = &retention->rules[1];
    assert_int_equal(first->repositories.count, 2);
    assert_string_equal(first->repositories.items[1], "x?");
    assert_int_equal(first->keep_tags.count, 2);
    assert_string_equal(first->keep_tags.items[0], "v*");
    assert_int_equal(first->keep_last, 10);
    assert_int_equal(first->older_than_ms, 0);
    assert_int_equal(first->not_pulled_for_ms, 0);
    assert_string_equal(second->repositories.items[0], "**");
    assert_int_equal(second->keep_last, 0);
    assert_int_equal(second->older_than_ms, INT64_C(2160) * 3600 * 1000);
    assert_int_equal(second->not_pulled_for_ms, INT64_C(720) * 3600 * 1000);
    unload(&l);
}

static void without_rules_nothing_is_removed(void **state)
{
    struct loaded l = load(GOOD, NULL);
    (void)state;
    assert_int_equal(l.config->retention.rule_count, 0);
    assert_int_equal(l.config->retention.interval_ms, 24 * 3600 * 1000);
    assert_false(l.config->retention.dry_run);
    unload(&l);
}

static void what_is_printed_loads_again(void **state)
{
    struct loaded l = load(RULES("    - {repositories: ['team/**'], keep_tags: ['v[0-9]*'], keep_last: 3}\n"), NULL);
    struct rs_buf out;
    (void)state;
    rs_buf_init(&out, 1 << 20);
    rs_config_print(l.config, &out);
    struct loaded again = load(rs_buf_z(&out), NULL);
    assert_int_equal(again.rc, RS_OK);
    assert_int_equal(again.config->retention.rule_count, 1);
    assert_string_equal(again.config->retention.rules[0].keep_tags.items[0], "v[0-9]*");
    assert_int_equal(again.config->retention.rules[0].keep_last, 3);
    rs_buf_release(&out);
    unload(&again);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_understood_is_an_error),
        cmocka_unit_test(rules_keep_their_order),
        cmocka_unit_test(without_rules_nothing_is_removed),
        cmocka_unit_test(what_is_printed_loads_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
