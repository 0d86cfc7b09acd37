/* SPDX-License-Identifier: Apache-2.0 */
#include "events/events.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <unistd.h>

#include "../client/peer.h"
#include "base/clock.h"
#include "base/io.h"
#include "events/events_priv.h"
#include "events/record.h"

static char directory[64];
static struct peer peer;
static char url[64];
static struct rs_config_endpoint endpoints[3];
static struct rs_config config;

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/rs-events-XXXXXX");
    assert_non_null(mkdtemp(directory));
    peer_start(&peer);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/close", peer.port);
    memset(endpoints, 0, sizeof endpoints);
    for (size_t i = 0; i < RS_COUNT(endpoints); i++)
        endpoints[i] = (struct rs_config_endpoint){
            .name = "hook", .url = url, .timeout_ms = 2000, .threshold = 3, .backoff_ms = 50};
    config = (struct rs_config){.http.addr = "127.0.0.1:5000"};
    config.notifications = (struct rs_config_notifications){
        .endpoints = endpoints, .endpoint_count = 1, .queue_size = 1 << 20, .batch = 1};
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    peer_stop(&peer);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

static struct rs_events *start(void)
{
    struct rs_events *events;
    struct rs_err err;
    assert_int_equal(rs_events_new(&config, directory, &events, &err), RS_OK);
    return events;
}

static struct rs_event event(enum rs_event_action action, const char *repository)
{
    return (struct rs_event){.action = action,
                             .media_type = RS_STR("a/b"),
                             .size = 7,
                             .digest = RS_STR("sha256:00"),
                             .repository = rs_str_c(repository),
                             .request_method = RS_STR("PUT")};
}

static void emit(struct rs_events *events, enum rs_event_action action, const char *repository)
{
    const struct rs_event made = event(action, repository);
    rs_events_emit(events, &made);
}

static struct rs_events_stats stats(struct rs_events *events, size_t index)
{
    struct rs_events_stats found;
    assert_true(rs_events_stats(events, index, &found));
    return found;
}

/* Until so many were delivered. */
static void wait_for(struct rs_events *events, size_t index, uint64_t successes)
{
    int64_t end = rs_mono_ms() + 10000;
    while (stats(events, index).successes < successes && rs_mono_ms() < end)
        usleep(2000);
    assert_int_equal(stats(events, index).successes, successes);
}

static void no_endpoint_is_no_work(void **state)
{
    (void)state;
    struct rs_events *events = (struct rs_events *)1;
    struct rs_events_stats none;
    config.notifications.endpoint_count = 0;
    assert_int_equal(rs_events_new(&config, "/nowhere/at/all", &events, NULL), RS_OK);
    assert_null(events);
    assert_false(rs_events_wanted(events, RS_EVENT_PUSH, RS_STR("")));
    assert_false(rs_events_want_references(events));
    assert_false(rs_events_stats(events, 0, &none));
    emit(events, RS_EVENT_PUSH, "a");
    rs_events_free(&events, 0);
}

static void an_event_has_the_fields_of_registry2(void **state)
{
    (void)state;
    const rs_str urls[] = {RS_STR("https://x/1"), RS_STR("https://x/2")};
    const struct rs_event_reference references[] = {
        {RS_STR("l/1"), RS_STR("sha256:11"), 3, urls, 2, RS_STR("{\"k\":\"v\"}")},
        {RS_STR(""), RS_STR("sha256:22"), 0, NULL, 0, {0}}};
    struct rs_event e = event(RS_EVENT_MOUNT, "team/\"app\"");
    struct rs_buf out;
    rs_buf_init(&out, 4096);
    e.from_repository = RS_STR("from");
    e.url = RS_STR("http://h/v2/");
    e.tag = RS_STR("t");
    e.references = references;
    e.reference_count = 2;
    e.request_id = RS_STR("id");
    e.request_addr = RS_STR("1.2.3.4:5");
    e.request_host = RS_STR("h");
    e.request_useragent = RS_STR("ua");
    e.actor = RS_STR("me");
    event_json(&out, &e, "{\"addr\":\"x\"}");
    const char *json = rs_buf_z(&out);
    assert_non_null(strstr(
        json, "\"action\":\"mount\",\"target\":{\"mediaType\":\"a/b\",\"size\":7,\"digest\":\"sha256:00\","
              "\"length\":7,\"repository\":\"team/\\\"app\\\"\",\"fromRepository\":\"from\","
              "\"url\":\"http://h/v2/\",\"tag\":\"t\",\"references\":[{\"mediaType\":\"l/1\",\"size\":3,"
              "\"digest\":\"sha256:11\",\"urls\":[\"https://x/1\",\"https://x/2\"],\"annotations\":{\"k\":\"v\"}},"
              "{\"digest\":\"sha256:22\"}]},\"request\":{\"id\":\"id\",\"addr\":\"1.2.3.4:5\","
              "\"host\":\"h\",\"method\":\"PUT\",\"useragent\":\"ua\"},\"actor\":{\"name\":\"me\"},"
              "\"source\":{\"addr\":\"x\"}}"));
    assert_int_equal(strncmp(json, "{\"id\":\"", 7), 0);
    rs_buf_release(&out);
}

static void the_source_is_this_host_and_the_port(void **state)
{
    (void)state;
    char host[256] = "", wanted[300];
    char *source = event_source("[::1]:5000");
    gethostname(host, sizeof host - 1);
    snprintf(wanted, sizeof wanted, "{\"addr\":\"%s:5000\",\"instanceID\":\"", host);
    assert_int_equal(strncmp(source, wanted, strlen(wanted)), 0);
    free(source);
}

static void check_metrics(void)
{
    static const char *const lines[] = {
        "registry_notifications_events_total{type=\"Events\",endpoint=\"hook\"} 1\n",
        "registry_notifications_events_total{type=\"Successes\",endpoint=\"hook\"} 1\n",
        "registry_notifications_pending_total{endpoint=\"hook\"} ",
        "registry_notifications_status_total{code=\"200\",endpoint=\"hook\"} 1\n",
        "roadstead_notifications_total{type=\"dropped\",endpoint=\"hook\"} 0\n",
    };
    struct rs_buf out;
    rs_buf_init(&out, RS_METRICS_BYTES_MAX);
    rs_metrics_write(&out);
    for (size_t i = 0; i < RS_COUNT(lines); i++)
        if (strstr(rs_buf_z(&out), lines[i]) == NULL)
            fail_msg("not there: %s", lines[i]);
    rs_buf_release(&out);
}

static void an_event_is_posted(void **state)
{
    (void)state;
    const char *const values[] = {"Bearer x"};
    const struct rs_config_header header = {"Authorization", {(const char **)(uintptr_t)values, 1}};
    endpoints[0].headers = &header;
    endpoints[0].header_count = 1;
    struct rs_events *events = start();
    emit(events, RS_EVENT_PUSH, "one");
    wait_for(events, 0, 1);
    assert_true(peer_got(&peer, "POST /close HTTP/1.1\r\n"));
    assert_true(peer_got(&peer, "Content-Type: application/vnd.docker.distribution.events.v1+json\r\n"));
    assert_true(peer_got(&peer, "Authorization: Bearer x\r\n"));
    assert_true(peer_got(&peer, "\r\n\r\n{\"events\":[{\"id\":\""));
    assert_true(peer_got(&peer, "\"repository\":\"one\""));
    check_metrics();
    rs_events_free(&events, 1000);
    assert_null(events);
}

static void each_endpoint_gets_what_it_does_not_ignore(void **state)
{
    (void)state;
    const char *pull[] = {"pull"}, *type[] = {"a/b", "c/d"};
    endpoints[0].name = "nopull";
    endpoints[0].ignored_actions = (struct rs_config_list){pull, 1};
    endpoints[1].name = "notype";
    endpoints[1].ignored_types = (struct rs_config_list){type, 2};
    endpoints[2].ignored_actions = (struct rs_config_list){pull, 1};
    config.notifications.endpoint_count = 3;
    struct rs_events *events = start();
    assert_true(rs_events_wanted(events, RS_EVENT_PUSH, RS_STR("a/b")));
    assert_false(rs_events_wanted(events, RS_EVENT_PULL, RS_STR("c/d")));
    assert_true(rs_events_wanted(events, RS_EVENT_PULL, RS_STR("e/f")));
    emit(events, RS_EVENT_PUSH, "a");
    emit(events, RS_EVENT_PULL, "b");
    emit(events, RS_EVENT_DELETE, "c");
    assert_int_equal(stats(events, 0).events, 2);
    assert_int_equal(stats(events, 1).events, 0);
    assert_int_equal(stats(events, 2).events, 2);
    wait_for(events, 0, 2);
    wait_for(events, 2, 2);
    rs_events_free(&events, 1000);
}

static void a_push_is_on_disk_when_emit_returns(void **state)
{
    (void)state;
    char path[256];
    struct rs_buf found;
    endpoints[0].url = "http://127.0.0.1:1/";
    struct rs_events *events = start();
    emit(events, RS_EVENT_PUSH, "kept/at-once");
    snprintf(path, sizeof path, "%s/%016x", events->endpoints[0].spool.directory, 1);
    rs_buf_init(&found, 1 << 20);
    assert_int_equal(rs_read_file(path, &found, NULL), RS_OK);
    assert_non_null(strstr(rs_buf_z(&found) + RECORD_HEAD, "kept/at-once"));
    rs_buf_release(&found);
    rs_events_free(&events, 0);
}

static void what_waits_goes_out_after_the_next_start(void **state)
{
    (void)state;
    endpoints[0].url = "http://127.0.0.1:1/";
    struct rs_events *events = start();
    for (int i = 0; i < 5; i++)
        emit(events, RS_EVENT_PULL, "later");
    rs_events_free(&events, 0); /* the memory's as well */
    endpoints[0].url = url;
    events = start();
    wait_for(events, 0, 5);
    assert_int_equal(stats(events, 0).pending, 0);
    rs_events_free(&events, 0);
}

static void endpoints_of_one_name_have_queues_of_their_own(void **state)
{
    (void)state;
    endpoints[0].name = endpoints[1].name = "";
    config.notifications.endpoint_count = 3;
    struct rs_events *events = start();
    assert_string_not_equal(events->endpoints[0].spool.directory, events->endpoints[1].spool.directory);
    assert_string_not_equal(events->endpoints[0].spool.directory, events->endpoints[2].spool.directory);
    assert_string_equal(events->endpoints[1].name, "2");
    rs_events_free(&events, 0);
}

static void names_make_no_paths(void **state)
{
    (void)state;
    endpoints[0].name = "../../etc/passwd";
    struct rs_events *events = start();
    const char *slash = strrchr(events->endpoints[0].spool.directory, '/');
    assert_int_equal(strncmp(slash, "/______etc_passwd-", 18), 0);
    rs_events_free(&events, 0);
}

static void an_address_that_is_none_is_refused(void **state)
{
    (void)state;
    struct rs_events *events;
    struct rs_err err;
    endpoints[0].url = "***";
    assert_int_equal(rs_events_new(&config, directory, &events, &err), RS_E_CONFIG);
    assert_null(events);
    assert_null(strstr(err.text, "***"));
}

static void too_many_references_are_left_out(void **state)
{
    (void)state;
    static struct rs_event_reference references[20000];
    struct rs_event e = event(RS_EVENT_PUSH, "big");
    for (size_t i = 0; i < RS_COUNT(references); i++)
        references[i] = (struct rs_event_reference){
            RS_STR("application/vnd.oci.image.layer.v1.tar+gzip"),
            RS_STR("sha256:0123456789012345678901234567890123456789012345678901234567890123"),
            i + 1,
            NULL,
            0,
            {0}};
    e.references = references;
    e.reference_count = RS_COUNT(references);
    struct rs_events *events = start();
    rs_events_emit(events, &e);
    assert_in_range(stats(events, 0).bytes, 1, 2000);
    wait_for(events, 0, 1);
    assert_true(peer_got(&peer, "\"repository\":\"big\""));
    assert_false(peer_got(&peer, "references"));
    rs_events_free(&events, 1000);
}

static void pauses_grow_from_the_threshold_on(void **state)
{
    (void)state;
    const struct rs_config_endpoint e = {.threshold = 3, .backoff_ms = 1000};
    const struct rs_config_endpoint slow = {.threshold = 1, .backoff_ms = 3600000};
    static const int64_t wanted[] = {20, 40, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (size_t i = 0; i < RS_COUNT(wanted); i++)
        assert_int_equal(events_pause_ms(&e, i + 1), wanted[i]);
    assert_int_equal(events_pause_ms(&e, UINT64_MAX), 60000);
    assert_int_equal(events_pause_ms(&slow, 1), 3600000);
    assert_int_equal(events_pause_ms(&slow, 100), 3600000);
}

static void *emit_many(void *arg)
{
    for (int i = 0; i < 50; i++)
        emit(arg, i % 2 == 0 ? RS_EVENT_PUSH : RS_EVENT_PULL, "many");
    return NULL;
}

static void many_threads_emit(void **state)
{
    (void)state;
    pthread_t threads[4];
    config.notifications.batch = 20;
    struct rs_events *events = start();
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        assert_int_equal(rs_thread_start(&threads[i], emit_many, events), 0);
    for (size_t i = 0; i < RS_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    wait_for(events, 0, 200);
    assert_int_equal(stats(events, 0).pending, 0);
    assert_int_equal(stats(events, 0).dropped, 0);
    rs_events_free(&events, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_endpoint_is_no_work),
        TEST(an_event_has_the_fields_of_registry2),
        TEST(the_source_is_this_host_and_the_port),
        TEST(an_event_is_posted),
        TEST(each_endpoint_gets_what_it_does_not_ignore),
        TEST(a_push_is_on_disk_when_emit_returns),
        TEST(what_waits_goes_out_after_the_next_start),
        TEST(endpoints_of_one_name_have_queues_of_their_own),
        TEST(names_make_no_paths),
        TEST(an_address_that_is_none_is_refused),
        TEST(too_many_references_are_left_out),
        TEST(pauses_grow_from_the_threshold_on),
        TEST(many_threads_emit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
