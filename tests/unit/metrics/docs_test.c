/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/tbl/metrics.def: that it is sound, and that docs/OPERATIONS.md lists what stands in it. With the argument
 * "--print" this program prints that list, to be pasted between its two marks.
 */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/io.h"
#include "metrics/metrics_priv.h"

static void page_holds_the_table(void **state)
{
    struct rs_buf page, part;
    struct rs_err err;
    (void)state;
    rs_buf_init(&page, 1 << 20);
    rs_buf_init(&part, 1 << 20);
    assert_int_equal(rs_read_file(OPERATIONS_MD, &page, &err), RS_OK);
    rs_metrics_document(&part);
    const char *from = strstr(rs_buf_z(&page), "<!-- metrics -->\n");
    const char *to = strstr(rs_buf_z(&page), "<!-- end of metrics -->");
    assert_non_null(from);
    assert_non_null(to);
    from += strlen("<!-- metrics -->\n");
    page.ptr[to - page.ptr] = '\0';
    if (strcmp(from, rs_buf_z(&part)) != 0)
        print_error("docs/OPERATIONS.md is behind src/tbl/metrics.def: run this test with --print\n");
    assert_string_equal(from, rs_buf_z(&part));
    rs_buf_release(&page);
    rs_buf_release(&part);
}

static void names_are_unique_and_end_as_they_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < RS_METRICS; i++) {
        const struct metric_family *family = &metric_families[i];
        bool counter = family->type == METRIC_COUNTER || family->type == METRIC_TOTAL;
        bool foreign = rs_str_starts(rs_str_c(family->name), RS_STR("registry_"));
        if (!foreign)
            assert_int_equal(rs_str_ends(rs_str_c(family->name), RS_STR("_total")), counter);
        assert_int_equal(family->type == METRIC_HISTOGRAM, family->bounds != NULL);
        assert_true(rs_str_ends(rs_str_c(family->help), RS_STR(".")));
        assert_null(strpbrk(family->help, "|\n"));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(family->name, metric_families[k].name);
        for (size_t k = 0; k < metric_alias_count; k++)
            assert_string_not_equal(family->name, metric_aliases[k].name);
    }
}

/* registry:2's dashboards need each of its own bounds, and ours must have them. */
static void aliases_have_bounds_that_are_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < metric_alias_count; i++) {
        const struct metric_family *family = &metric_families[metric_aliases[i].metric];
        int found = 0;
        for (unsigned k = 0; family->bounds != NULL && k < family->bounds->count; k++)
            found += family->bounds->bounds[k].value == metric_aliases[i].lowest ||
                     family->bounds->bounds[k].value == metric_aliases[i].highest;
        assert_int_equal(found, family->bounds != NULL ? 2 : 0);
        for (size_t k = 0; k < RS_COUNT(family->labels); k++)
            if (family->labels[k] != RS_LABEL_NONE)
                assert_true(metric_labels[family->labels[k]].there[0] != '\0');
    }
}

static void bounds_rise_and_say_what_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < RS_METRICS; i++) {
        const struct metric_family *family = &metric_families[i];
        double scale = family->scale == METRIC_MICRO ? 1e6 : 1;
        for (unsigned k = 0; family->bounds != NULL && k < family->bounds->count; k++) {
            const struct metric_bound *bound = &family->bounds->bounds[k];
            assert_true(k == 0 || bound->value > bound[-1].value);
            assert_int_equal((uint64_t)(strtod(bound->text, NULL) * scale + 0.5), bound->value);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_holds_the_table),
        cmocka_unit_test(names_are_unique_and_end_as_they_should),
        cmocka_unit_test(aliases_have_bounds_that_are_there),
        cmocka_unit_test(bounds_rise_and_say_what_they_are),
    };
    if (argc > 1 && strcmp(argv[1], "--print") == 0) {
        struct rs_buf out;
        rs_buf_init(&out, 1 << 20);
        rs_metrics_document(&out);
        fwrite(out.ptr, 1, out.len, stdout);
        rs_buf_release(&out);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
