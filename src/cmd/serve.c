/* SPDX-License-Identifier: Apache-2.0 */
/* roadstead serve [CONFIG.yml]: configuration → storage, registry, API, server; then waits for a signal. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sink.h"
#include "cmd/cmd.h"
#include "cmd/debug.h"
#include "cmd/opened.h"
#include "cmd/process.h"
#include "cmd/systemd.h"
#include "upkeep/upkeep.h"

#define WARNINGS_MAX (64 * 1024) /* bytes */
#define EVENTS_GRACE_MS 3000

struct service {
    struct rs_opened o;
    struct rs_api *api;
    struct rs_events *events;
    int64_t events_grace_ms; /* at the end, for endpoints that answer */
    struct rs_http_server *server;
    struct rs_health *health;
    struct rs_debug *debug;
    struct rs_upkeep *upkeep;
};

static void service_release(struct service *s)
{
    if (!rs_upkeep_stop(&s->upkeep) || !rs_debug_free(&s->debug) || !rs_http_server_free(&s->server) ||
        !rs_health_free(&s->health))
        return; /* a thread still uses the rest; the process ends now */
    rs_events_free(&s->events, s->events_grace_ms);
    rs_api_free(&s->api);
    rs_opened_close(&s->o);
}

/* --- configuration --- */

struct report {
    struct rs_buf warnings; /* a line each */
    bool failed;
};

/* Errors are told at once; warnings wait for the log that the configuration describes. */
static void report(void *ctx, bool is_error, const char *place, const char *key, const char *text)
{
    struct report *r = ctx;
    const char *colon = key[0] != '\0' ? ": " : "";

    r->failed |= is_error;
    if (is_error)
        fprintf(stderr, "roadstead: %s: %s%s%s\n", place, key, colon, text);
    else
        rs_buf_printf(&r->warnings, "%s: %s%s%s\n", place, key, colon, text);
}

static void report_release(struct report *r)
{
    rs_buf_release(&r->warnings);
}

static void log_warnings(rs_str warnings)
{
    rs_str line;

    while (warnings.len > 0) {
        rs_str_cut(warnings, '\n', &line, &warnings);
        rs_log(RS_LOG_WARN, RS_STR_FMT, RS_STR_ARG(line));
    }
}

static rs_rc load(const char *path, struct service *s, struct rs_err *err)
{
    RS_AUTO(report_release) struct report told = {0};

    rs_buf_init(&told.warnings, WARNINGS_MAX);
    rs_rc rc = rs_config_load(path, environ, report, &told, &s->o.config, err);
    if (rc != RS_OK) {
        if (!told.failed)
            fprintf(stderr, "roadstead: %s\n", err->text);
        return rc;
    }
    const struct rs_config_log *log = &s->o.config->log;
    rs_log_configure(log->format, log->level, log->fields, log->field_count);
    log_warnings(rs_buf_str(&told.warnings));
    return RS_OK;
}

/* --- listening --- */

static void set_limits(const struct rs_config_http *from, struct rs_http_config *to)
{
    to->trusted_proxies = from->trusted_proxies.items;
    to->trusted_proxy_count = from->trusted_proxies.count;
    to->lanes = (unsigned)from->lanes;
    to->max_connections = (unsigned)from->max_connections;
    to->max_workers = (unsigned)from->max_workers;
    to->reserved_workers = (unsigned)from->reserved_workers;
    to->max_body_workers_per_address = (unsigned)from->max_body_workers_per_address;
    to->max_head = from->max_head;
    to->head_ms = from->head_ms;
    to->idle_ms = from->idle_ms;
    to->queue_ms = from->queue_ms;
    to->min_rate = from->min_rate;
    to->rate_ms = from->rate_ms;
    to->drain_ms = from->drain_ms;
}

/* Sockets that systemd gives replace the configured addresses. */
static rs_rc listen_all(struct service *s, struct rs_err *err)
{
    const struct rs_config_http *http = &s->o.config->http;
    unsigned given = rs_systemd_sockets();

    for (unsigned i = 0; i < given; i++)
        RS_TRY(rs_http_listen_fd(s->server, RS_SYSTEMD_FIRST_FD + (int)i, err));
    for (size_t i = 0; given == 0 && i < http->listen_count; i++)
        RS_TRY(rs_http_listen(s->server, http->listen[i].net, http->listen[i].address, err));
    return RS_OK;
}

static rs_rc make_server(struct service *s, struct rs_err *err)
{
    struct rs_http_config config;

    rs_http_config_defaults(&config);
    set_limits(&s->o.config->http, &config);
    RS_TRY(rs_api_new(s->o.config, &s->api, err));
    rs_api_http(s->api, &config);
    RS_TRY(rs_http_server_new(&config, &s->server, err));
    RS_TRY(listen_all(s, err));
    return rs_debug_new(s->o.config, &s->debug, err);
}

/* --- what is served --- */

static rs_rc make_registry(struct service *s, struct rs_err *err)
{
    RS_TRY(rs_opened_attach(&s->o, err));
    rs_api_attach(s->api, s->o.registry);
    RS_TRY(rs_events_new(s->o.config, s->o.state.path, &s->events, err));
    rs_api_attach_events(s->api, s->events);
    s->health = rs_health_new(&s->o.config->health, s->o.storage);
    rs_api_attach_health(s->api, s->health);
    return RS_OK;
}

static void log_start(const struct service *s, uint64_t files)
{
    RS_AUTO(rs_buf_release) struct rs_buf addresses;

    rs_buf_init(&addresses, 4096);
    for (size_t i = 0; rs_http_address(s->server, i) != NULL; i++)
        rs_buf_printf(&addresses, "%s%s", i > 0 ? ", " : "", rs_http_address(s->server, i));
    const struct rs_log_field fields[] = {
        RS_LOG_STR("version", RS_STR(RS_VERSION)),
        RS_LOG_STR("addresses", rs_buf_str(&addresses)),
        RS_LOG_STR("debug", rs_str_c(rs_debug_address(s->debug))),
        RS_LOG_STR("storage", rs_str_c(rs_storage_name(s->o.storage))),
        RS_LOG_STR("root",
                   rs_str_c(s->o.config->storage.driver == RS_CONFIG_FILESYSTEM ? s->o.config->storage.root : NULL)),
        RS_LOG_STR("readonly", s->o.config->storage.read_only ? RS_STR("true") : RS_STR("false")),
        RS_LOG_NUM("files", files),
    };
    rs_log_event(RS_LOG_INFO, "roadstead is listening", fields, RS_COUNT(fields));
}

static void tell_status(const struct service *s)
{
    rs_systemd_notify(rs_api_is_read_only(s->api) ? "STATUS=Serving, read-only" : "STATUS=Serving");
}

static bool may_write(void *ctx)
{
    const struct service *s = ctx;

    return !rs_api_is_read_only(s->api);
}

/* As registry:2 tells of a deleted tag; nobody's request was it. */
static void tell_removed_tag(void *ctx, rs_str repository, rs_str tag)
{
    const struct service *s = ctx;
    const struct rs_event event = {.action = RS_EVENT_DELETE, .repository = repository, .tag = tag};

    if (rs_events_wanted(s->events, RS_EVENT_DELETE, (rs_str){0}))
        rs_events_emit(s->events, &event);
}

static rs_rc start_upkeep(struct service *s, struct rs_err *err)
{
    const struct rs_upkeep_config config = {
        .config = s->o.config,
        .storage = s->o.storage,
        .registry = s->o.registry,
        .state_dir = s->o.state.path,
        .may_write = may_write,
        .on_tag_removed = tell_removed_tag,
        .ctx = s,
    };

    return rs_upkeep_start(&config, &s->upkeep, err);
}

/* Whoever cannot be seen by collectors can promise nothing: pushes fail until he can. Pulls go on. */
static void announce(const struct service *s)
{
    struct rs_err err = {0};

    if (rs_registry_announce(s->o.registry, &err) != RS_OK)
        rs_log(RS_LOG_WARN, "pushes will be refused: %s", err.text);
}

/* The sockets are bound before the privileges go, what is on disk is made after. */
static rs_rc start(const char *path, struct service *s, struct rs_err *err)
{
    uint64_t files;

    RS_TRY(load(path, s, err));
    RS_TRY(rs_process_raise_files(&files, err));
    RS_TRY(make_server(s, err));
    RS_TRY(rs_process_become(s->o.config->user, err));
    RS_TRY(make_registry(s, err));
    announce(s);
    RS_TRY(rs_health_start(s->health, err));
    RS_TRY(rs_http_start(s->server, err));
    RS_TRY(rs_debug_start(s->debug, s->server, s->health, s->o.registry, s->o.state.path, err));
    RS_TRY(start_upkeep(s, err));
    log_start(s, files);
    rs_systemd_notify("READY=1");
    tell_status(s);
    return RS_OK;
}

/* --- the end --- */

/* SIGUSR1: no more writes; SIGUSR2: writes again, whatever the configuration says. */
static void switch_read_only(const struct service *s, bool read_only)
{
    if (rs_api_is_read_only(s->api) == read_only)
        return;
    rs_api_set_read_only(s->api, read_only);
    tell_status(s);
    if (read_only)
        rs_log(RS_LOG_WARN, "SIGUSR1: the registry is read-only now; SIGUSR2 ends this");
    else
        rs_log(RS_LOG_WARN, "SIGUSR2: the registry takes writes again%s",
               s->o.config->storage.read_only ? ", though storage.maintenance.readonly is configured" : "");
}

static int wait_for_stop(const struct service *s)
{
    for (;;) {
        int sig = rs_process_wait();
        if (sig == SIGTERM || sig == SIGINT)
            return sig;
        if (sig == SIGUSR1 || sig == SIGUSR2)
            switch_read_only(s, sig == SIGUSR1);
        if (sig == SIGHUP)
            rs_log(RS_LOG_WARN, "SIGHUP: the configuration cannot be read again while running; restart instead");
    }
}

struct drain {
    struct rs_http_server *server;
    _Atomic bool done;
};

static void *drain(void *ctx)
{
    struct drain *d = ctx;

    rs_http_drain(d->server);
    atomic_store(&d->done, true);
    rs_process_wake();
    return NULL;
}

/* What waits may go out before the end, if there is time. */
static int64_t events_grace(const struct rs_config *config)
{
    return config->http.drain_ms > 0 ? RS_MIN(config->http.drain_ms, EVENTS_GRACE_MS) : EVENTS_GRACE_MS;
}

/* Goes on for a while, so that whoever asks /healthz sends nothing more when the addresses close. False: a second
 * signal came. */
static bool announce_end(struct service *s)
{
    int64_t end = rs_mono_ms() + s->o.config->http.stop_delay_ms;

    rs_api_stopping(s->api);
    for (int64_t left = end - rs_mono_ms(); left > 0; left = end - rs_mono_ms()) {
        int sig = rs_process_wait_ms(left);
        if (sig == SIGTERM || sig == SIGINT)
            return false;
    }
    return true;
}

/* Lets running transfers end; a second signal ends them. */
static int stop(struct service *s, int sig)
{
    struct drain draining = {.server = s->server};
    pthread_t thread;
    int status = RS_EXIT_OK;

    rs_log(RS_LOG_INFO, "%s: stopping when running requests are done; a second signal stops at once",
           sig == SIGTERM ? "SIGTERM" : "SIGINT");
    rs_systemd_notify("STOPPING=1");
    if (!announce_end(s)) {
        status = RS_EXIT_FAILED;
        rs_http_abort(s->server);
    }
    /* Without a thread to be had, this one drains and hears no second signal. */
    bool apart = pthread_create(&thread, NULL, drain, &draining) == 0;
    if (!apart)
        drain(&draining);
    while (!atomic_load(&draining.done)) {
        sig = rs_process_wait();
        if (sig != SIGTERM && sig != SIGINT)
            continue;
        status = RS_EXIT_FAILED;
        rs_http_abort(s->server);
    }
    if (apart)
        pthread_join(thread, NULL);
    if (status == RS_EXIT_OK)
        s->events_grace_ms = events_grace(s->o.config);
    rs_log(RS_LOG_INFO, "roadstead has stopped");
    return status;
}

static const char usage[] = "Usage: roadstead serve [CONFIG.yml]\n"
                            "Without a file, REGISTRY_CONFIGURATION_PATH names it; without that, images lie in\n"
                            "./data and are served at 127.0.0.1:5000.\n";

static int serve(const char *path)
{
    RS_AUTO(service_release) struct service service = {0};
    struct rs_err err = {0};

    if (rs_process_std_fds(&err) != RS_OK)
        return RS_EXIT_FAILED; /* told to nobody: there may be no standard error */
    rs_process_signals();
    rs_sink_open();
    if (start(path, &service, &err) == RS_OK)
        return stop(&service, wait_for_stop(&service));
    if (service.o.config != NULL)
        rs_log(RS_LOG_ERROR, "cannot start: %s", err.text);
    return err.rc == RS_E_CONFIG ? RS_EXIT_USAGE : RS_EXIT_FAILED;
}

int rs_cmd_serve(int argc, char **argv)
{
    rs_str first = rs_str_c(argc > 1 ? argv[1] : NULL);

    if (rs_str_eq(first, RS_STR("--help")) || rs_str_eq(first, RS_STR("-h"))) {
        fputs(usage, stdout);
        return RS_EXIT_OK;
    }
    if (argc > 2 || rs_str_starts(first, RS_STR("-"))) {
        fputs(usage, stderr);
        return RS_EXIT_USAGE;
    }
    return serve(argc > 1 ? argv[1] : getenv("REGISTRY_CONFIGURATION_PATH"));
}
