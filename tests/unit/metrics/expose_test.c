/* SPDX-License-Identifier: Apache-2.0 */
/* The text format: its lines, escapes and histograms. tests/e2e lets Prometheus' own parser read it. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"
#include "metrics/metrics.h"

static struct rs_buf text;

static const char *written(void)
{
    rs_buf_release(&text);
    rs_buf_init(&text, RS_METRICS_BYTES_MAX);
    rs_metrics_write(&text);
    assert_false(text.overflow);
    return rs_buf_z(&text);
}

static void assert_has(const char *page, const char *line)
{
    char whole[512];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(page, whole) == NULL)
        print_error("there is no line: %s\n", line);
    assert_non_null(strstr(page, whole));
}

static void a_histogram_is_cumulative(void **state)
{
    (void)state;
    const struct rs_metric_labels labels = RS_LABELS(RS_VALUE_ROUTE_TAGS, RS_VALUE_METHOD_GET);
    rs_metrics_observe(RS_METRIC_HTTP_SECONDS, labels, 5000, 1); /* a bound lies in its bucket */
    rs_metrics_observe(RS_METRIC_HTTP_SECONDS, labels, 5001, 2);
    rs_metrics_observe(RS_METRIC_HTTP_SECONDS, labels, 61000000, 1);
    rs_metrics_observe(RS_METRIC_HTTP_SECONDS, labels, 3, 1);
    const char *page = written();
#define SECONDS "roadstead_http_request_duration_seconds"
#define TAGS "route=\"tags\",method=\"GET\""
    assert_has(page, "# TYPE " SECONDS " histogram");
    assert_has(page, SECONDS "_bucket{" TAGS ",le=\"1e-05\"} 1");
    assert_has(page, SECONDS "_bucket{" TAGS ",le=\"0.0025\"} 1");
    assert_has(page, SECONDS "_bucket{" TAGS ",le=\"0.005\"} 2");
    assert_has(page, SECONDS "_bucket{" TAGS ",le=\"0.01\"} 4");
    assert_has(page, SECONDS "_bucket{" TAGS ",le=\"60\"} 4");
    assert_has(page, SECONDS "_bucket{" TAGS ",le=\"+Inf\"} 5");
    assert_has(page, SECONDS "_sum{" TAGS "} 61.015005");
    assert_has(page, SECONDS "_count{" TAGS "} 5");
}

/* Its dashboards ask for these very names, labels and bounds. */
static void registry_2_finds_its_names(void **state)
{
    (void)state;
    const struct rs_metric_labels storage = RS_LABELS(RS_VALUE_DRIVER_FILESYSTEM, RS_VALUE_OPERATION_READ);
    rs_metrics_observe(RS_METRIC_STORAGE_SECONDS, storage, 4, 1);
    rs_metrics_observe(RS_METRIC_STORAGE_SECONDS, storage, 20000000, 1);
    rs_metrics_observe(RS_METRIC_STORAGE_SECONDS, RS_LABELS(RS_VALUE_DRIVER_FILESYSTEM, RS_VALUE_OPERATION_SYNC), 4, 1);
    rs_metrics_add(RS_METRIC_HTTP_REQUESTS,
                   RS_LABELS(RS_VALUE_ROUTE_BLOB_UPLOAD_CHUNK, RS_VALUE_METHOD_PATCH, RS_VALUE_CODE_202), 2);
    rs_metrics_add(RS_METRIC_HTTP_REQUESTS, RS_LABELS(RS_VALUE_ROUTE_ROOT, RS_VALUE_METHOD_GET, RS_VALUE_CODE_200), 2);
    rs_metrics_observe(RS_METRIC_HTTP_RECEIVED, RS_LABELS(RS_VALUE_ROUTE_BLOB), 1 << 20, 1);
    rs_metrics_set(RS_METRIC_CACHE_TOTAL, RS_LABELS(RS_VALUE_CACHE_HIT), 9);
    const char *page = written();
#define ACTION "registry_storage_action_seconds"
    assert_has(page, ACTION "_bucket{driver=\"filesystem\",action=\"GetContent\",le=\"0.005\"} 1");
    assert_has(page, ACTION "_bucket{driver=\"filesystem\",action=\"GetContent\",le=\"10\"} 1");
    assert_has(page, ACTION "_bucket{driver=\"filesystem\",action=\"GetContent\",le=\"+Inf\"} 2");
    assert_null(strstr(page, ACTION "_bucket{driver=\"filesystem\",action=\"GetContent\",le=\"25\"}"));
    assert_null(strstr(page, ACTION "_bucket{driver=\"filesystem\",action=\"GetContent\",le=\"0.0025\"}"));
    assert_null(strstr(page, ACTION "_bucket{driver=\"filesystem\",action=\"\""));
    assert_has(page, "registry_http_requests_total{handler=\"blob_upload_chunk\",method=\"patch\",code=\"202\"} 2");
    assert_has(page, "roadstead_http_requests_total{route=\"root\",method=\"GET\",code=\"200\"} 2");
    assert_null(strstr(page, "handler=\"root\""));
    assert_has(page, "registry_http_request_size_bytes_bucket{handler=\"blob\",le=\"524288\"} 0");
    assert_has(page, "registry_http_request_size_bytes_bucket{handler=\"blob\",le=\"1.048576e+06\"} 1");
    assert_has(page, "registry_http_in_flight_requests{handler=\"manifest\"} 0");
    assert_has(page, "registry_storage_cache_total{type=\"Hit\"} 9");
}

static void texts_are_escaped(void **state)
{
    (void)state;
    enum rs_value check = rs_metrics_value(RS_LABEL_CHECK, RS_STR("a \"b\" \\ c\nd"));
    rs_metrics_set(RS_METRIC_HEALTH_CHECK, RS_LABELS(check), 1);
    assert_has(written(), "roadstead_health_check_up{check=\"a \\\"b\\\" \\\\ c\\nd\"} 1");
}

static void what_was_never_told_is_absent(void **state)
{
    (void)state;
    assert_null(strstr(written(), "\nroadstead_read_only "));
    rs_metrics_set(RS_METRIC_READ_ONLY, RS_NO_LABELS, 0);
    const char *page = written();
    assert_has(page, "roadstead_read_only 0");
    assert_has(page, "roadstead_uploads_finished_total 0"); /* one that counts begins at 0 */
}

static void the_process_tells_of_itself(void **state)
{
    (void)state;
    uint64_t now = (uint64_t)time(NULL);
    const char *page = written();
    assert_has(page, "roadstead_build_info{version=\"" RS_VERSION "\"} 1");
    assert_has(page, "roadstead_log_dropped_lines_total{log=\"events\"} 0");
    uint64_t start = rs_metrics_get(RS_METRIC_PROCESS_START, RS_NO_LABELS) / 1000000;
    assert_true(start > now - 600 && start <= now + 1);
    assert_true(rs_metrics_get(RS_METRIC_PROCESS_RESIDENT, RS_NO_LABELS) > 100000);
    assert_true(rs_metrics_get(RS_METRIC_PROCESS_VIRTUAL, RS_NO_LABELS) >
                rs_metrics_get(RS_METRIC_PROCESS_RESIDENT, RS_NO_LABELS));
    assert_true(rs_metrics_get(RS_METRIC_PROCESS_FDS, RS_NO_LABELS) >= 1);
    assert_true(rs_metrics_get(RS_METRIC_PROCESS_MAX_FDS, RS_NO_LABELS) >
                rs_metrics_get(RS_METRIC_PROCESS_FDS, RS_NO_LABELS));
}

/* --- every line --- */

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9');
}

static rs_str cut_name(rs_str *line)
{
    size_t n = 0;
    while (n < line->len && name_byte(line->ptr[n]))
        n++;
    rs_str name = rs_str_sub(*line, 0, n);
    *line = rs_str_from(*line, n);
    assert_true(n > 0);
    return name;
}

static void check_labels(rs_str *line)
{
    do {
        *line = rs_str_from(*line, 1);
        cut_name(line);
        assert_true(rs_str_starts(*line, RS_STR("=\"")));
        size_t n = 2;
        for (; n < line->len && line->ptr[n] != '"'; n++)
            n += line->ptr[n] == '\\';
        assert_true(n < line->len);
        *line = rs_str_from(*line, n + 1);
    } while (rs_str_starts(*line, RS_STR(",")));
    assert_true(rs_str_starts(*line, RS_STR("}")));
    *line = rs_str_from(*line, 1);
}

static void check_sample(rs_str line, rs_str family)
{
    rs_str name = cut_name(&line);
    assert_true(rs_str_starts(name, family));
    if (rs_str_starts(line, RS_STR("{")))
        check_labels(&line);
    assert_true(rs_str_starts(line, RS_STR(" ")) && line.len > 1);
    for (size_t i = 1; i < line.len; i++)
        assert_true((line.ptr[i] >= '0' && line.ptr[i] <= '9') || line.ptr[i] == '.');
}

static void every_line_is_one_of_the_format(void **state)
{
    rs_str line, rest = rs_str_c(written()), family = {0}, word;
    size_t families = 0;
    (void)state;
    while (rest.len > 0) {
        assert_true(rs_str_cut(rest, '\n', &line, &rest)); /* the last one ends as well */
        if (rs_str_starts(line, RS_STR("# HELP "))) {
            assert_true(rs_str_cut(rs_str_from(line, 7), ' ', &family, &word));
            assert_true(word.len > 10);
            families++;
        } else if (rs_str_starts(line, RS_STR("# TYPE "))) {
            assert_true(rs_str_cut(rs_str_from(line, 7), ' ', &word, &line));
            assert_true(rs_str_eq(word, family));
        } else {
            check_sample(line, family);
        }
    }
    assert_true(families > RS_METRICS);
}

static atomic_bool done;

static void *count(void *arg)
{
    (void)arg;
    while (!atomic_load(&done))
        rs_metrics_observe(RS_METRIC_HTTP_SENT, RS_LABELS(RS_VALUE_ROUTE_CATALOG), 1, 1);
    return NULL;
}

/* A bucket never shows more than the count, whatever is counted meanwhile. */
static void it_is_whole_while_others_count(void **state)
{
    pthread_t threads[3];
    unsigned long long bucket, total;
    (void)state;
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    while (rs_metrics_get(RS_METRIC_HTTP_SENT, RS_LABELS(RS_VALUE_ROUTE_CATALOG)) == 0)
        sched_yield();
    for (int i = 0; i < 50; i++) {
        const char *page = written();
        const char *at = strstr(page, "roadstead_http_response_size_bytes_bucket{route=\"catalog\",le=\"1024\"} ");
        const char *end = strstr(page, "roadstead_http_response_size_bytes_count{route=\"catalog\"} ");
        assert_non_null(at);
        assert_non_null(end);
        assert_int_equal(sscanf(strchr(at, ' '), "%llu", &bucket), 1);
        assert_int_equal(sscanf(strchr(end, ' '), "%llu", &total), 1);
        assert_int_equal(bucket, total);
    }
    atomic_store(&done, true);
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_never_told_is_absent),  cmocka_unit_test(a_histogram_is_cumulative),
        cmocka_unit_test(registry_2_finds_its_names),     cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(the_process_tells_of_itself),    cmocka_unit_test(every_line_is_one_of_the_format),
        cmocka_unit_test(it_is_whole_while_others_count),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rs_buf_release(&text);
    return failed;
}
