/* SPDX-License-Identifier: Apache-2.0 */
/* Counting: sums over threads, buckets, values of labels. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <pthread.h>

#include "metrics/metrics.h"

#define REQUEST(code) RS_LABELS(RS_VALUE_ROUTE_MANIFEST, RS_VALUE_METHOD_GET, RS_VALUE_CODE_##code)
#define SECONDS RS_LABELS(RS_VALUE_ROUTE_MANIFEST, RS_VALUE_METHOD_GET)

static void labels_are_counted_apart(void **state)
{
    (void)state;
    rs_metrics_add(RS_METRIC_HTTP_REQUESTS, REQUEST(200), 3);
    rs_metrics_add(RS_METRIC_HTTP_REQUESTS, REQUEST(404), 1);
    rs_metrics_add(RS_METRIC_HTTP_REQUESTS, REQUEST(200), 1);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_REQUESTS, REQUEST(200)), 4);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_REQUESTS, REQUEST(404)), 1);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_REQUESTS, REQUEST(500)), 0);
}

static void a_level_goes_up_and_down(void **state)
{
    (void)state;
    rs_metrics_add(RS_METRIC_UPLOADS_WRITING, RS_NO_LABELS, 5);
    rs_metrics_sub(RS_METRIC_UPLOADS_WRITING, RS_NO_LABELS, 3);
    assert_int_equal(rs_metrics_get(RS_METRIC_UPLOADS_WRITING, RS_NO_LABELS), 2);
}

static void what_is_told_is_told_as_it_is(void **state)
{
    (void)state;
    rs_metrics_set(RS_METRIC_HTTP_CONNECTIONS, RS_NO_LABELS, 7);
    rs_metrics_set(RS_METRIC_HTTP_CONNECTIONS, RS_NO_LABELS, 0);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_CONNECTIONS, RS_NO_LABELS), 0);
    rs_metrics_set(RS_METRIC_HTTP_ACCEPTED, RS_NO_LABELS, INT64_MAX);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_ACCEPTED, RS_NO_LABELS), INT64_MAX);
}

static void observations_are_counted_with_their_weight(void **state)
{
    (void)state;
    rs_metrics_observe(RS_METRIC_HTTP_SECONDS, SECONDS, 0, 1);
    rs_metrics_observe(RS_METRIC_HTTP_SECONDS, SECONDS, UINT32_MAX, 1);
    rs_metrics_observe(RS_METRIC_HTTP_SECONDS, SECONDS, 30, 64);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_SECONDS, SECONDS), 66);
}

static void every_status_has_its_value(void **state)
{
    static const int statuses[] = {
#define RS_METRIC_CODE(status) status,
#include "tbl/metrics.def"
    };
    (void)state;
    for (size_t i = 0; i < RS_COUNT(statuses); i++)
        assert_int_equal(rs_metrics_code(statuses[i]), RS_VALUE_CODE_200 + i);
    assert_int_equal(rs_metrics_code(299), RS_VALUE_CODE_OTHER);
    assert_int_equal(rs_metrics_code(0), RS_VALUE_CODE_OTHER);
}

/* What errors.def answers must be tellable apart. */
static void every_error_has_its_code(void **state)
{
    (void)state;
    for (int rc = RS_OK + 1; rc < RS_RC_COUNT; rc++)
        assert_int_not_equal(rs_metrics_code(rs_rc_status((rs_rc)rc)), RS_VALUE_CODE_OTHER);
}

static void closed_labels_know_their_values_alone(void **state)
{
    (void)state;
    assert_int_equal(rs_metrics_value(RS_LABEL_ROUTE, RS_STR("manifest")), RS_VALUE_ROUTE_MANIFEST);
    assert_int_equal(rs_metrics_value(RS_LABEL_ROUTE, RS_STR("library/alpine")), RS_VALUE_ROUTE_OTHER);
    assert_int_equal(rs_metrics_value(RS_LABEL_DRIVER, RS_STR("filesystem")), RS_VALUE_DRIVER_FILESYSTEM);
}

static void open_labels_take_names_until_they_are_full(void **state)
{
    char name[16];
    (void)state;
    enum rs_value other = RS_VALUE_FIRST_CHECK, first = rs_metrics_value(RS_LABEL_CHECK, RS_STR("first"));
    assert_int_equal(first, other + 1);
    assert_int_equal(rs_metrics_value(RS_LABEL_CHECK, RS_STR("first")), first);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "check %d", i);
        enum rs_value value = rs_metrics_value(RS_LABEL_CHECK, rs_str_c(name));
        assert_int_equal(value, i < 62 ? first + 1 + i : other);
    }
    assert_int_equal(rs_metrics_value(RS_LABEL_CHECK, RS_STR("first")), first);
    assert_int_equal(rs_metrics_value(RS_LABEL_CHECK, RS_STR("other")), other);
}

#define THREADS 40 /* more than there are shards */
#define ROUNDS 20000

static void *count(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        rs_metrics_add(RS_METRIC_UPLOADS_STARTED, RS_NO_LABELS, 1);
        rs_metrics_observe(RS_METRIC_HTTP_SENT, RS_LABELS(RS_VALUE_ROUTE_BLOB), 1000, 1);
    }
    return NULL;
}

static void threads_lose_no_count(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(rs_metrics_get(RS_METRIC_UPLOADS_STARTED, RS_NO_LABELS), THREADS * ROUNDS);
    assert_int_equal(rs_metrics_get(RS_METRIC_HTTP_SENT, RS_LABELS(RS_VALUE_ROUTE_BLOB)), THREADS * ROUNDS);
}

static void collected(void *ctx)
{
    ++*(int *)ctx;
}

static void collectors_are_asked_until_they_are_forgotten(void **state)
{
    int first = 0, second = 0;
    struct rs_buf out;
    (void)state;
    rs_buf_init(&out, RS_METRICS_BYTES_MAX);
    rs_metrics_collect(collected, &first);
    rs_metrics_collect(collected, &second);
    rs_metrics_write(&out);
    rs_metrics_forget(&first);
    rs_metrics_write(&out);
    rs_metrics_forget(&second);
    rs_metrics_write(&out);
    assert_int_equal(first, 1);
    assert_int_equal(second, 2);
    rs_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_counted_apart),
        cmocka_unit_test(a_level_goes_up_and_down),
        cmocka_unit_test(what_is_told_is_told_as_it_is),
        cmocka_unit_test(observations_are_counted_with_their_weight),
        cmocka_unit_test(every_status_has_its_value),
        cmocka_unit_test(every_error_has_its_code),
        cmocka_unit_test(closed_labels_know_their_values_alone),
        cmocka_unit_test(open_labels_take_names_until_they_are_full),
        cmocka_unit_test(threads_lose_no_count),
        cmocka_unit_test(collectors_are_asked_until_they_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
