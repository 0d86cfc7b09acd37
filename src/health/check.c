/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the storage, of a file, and of other servers. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "client/client.h"
#include "health/health_priv.h"

#define REDIRECTS_MAX 10 /* as registry:2's client */
#define HEADERS_MAX 64
#define STEP_MS 200

/* There is no such object: a driver that is well says so. The local disk looks at its root when something is missing,
 * and tells one that was moved away, or replaced (which is told once: then the new one is used). */
#define PROBE "/docker/registry/v2/_health"

static rs_rc check_storage(const struct health_subject *subject, struct rs_err *err)
{
    struct rs_storage_stat st;
    RS_TRY(rs_storage_stat(subject->storage, "/", &st, err));
    rs_rc rc = rs_storage_stat(subject->storage, PROBE, &st, err);
    if (rc == RS_E_UNAVAILABLE)
        rc = rs_storage_stat(subject->storage, PROBE, &st, err);
    return rc == RS_E_NOT_FOUND ? RS_OK : rc;
}

/* An operator's switch, as in registry:2: the file says "not now". */
static rs_rc check_file(const struct health_subject *subject, struct rs_err *err)
{
    struct stat st;
    if (lstat(subject->config->target, &st) == 0)
        return rs_err_set(err, RS_E_UNAVAILABLE, "file exists");
    if (errno == ENOENT || errno == ENOTDIR)
        return RS_OK;
    return rs_err_sys(err, errno, "cannot look at the file");
}

/* Each value of a header is a line of its own. */
static size_t flatten(const struct rs_config_check *check, struct rs_client_header out[HEADERS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < check->header_count; i++)
        for (size_t k = 0; k < check->headers[i].values.count && count < HEADERS_MAX; k++)
            out[count++] = (struct rs_client_header){check->headers[i].name, check->headers[i].values.items[k]};
    return count;
}

static rs_rc check_http(const struct health_subject *subject, struct rs_err *err)
{
    const struct rs_config_check *check = subject->config;
    struct rs_client_header headers[HEADERS_MAX];
    struct rs_client_response response = {0};
    const struct rs_client_request request = {
        .method = "HEAD",
        .url = check->target,
        .headers = headers,
        .header_count = flatten(check, headers),
        .timeout_ms = check->timeout_ms,
        .max_redirects = REDIRECTS_MAX,
        .cancel = subject->stop,
    };
    RS_TRY(rs_client_do(&request, &response, err));
    int status = response.status;
    rs_client_response_release(&response);
    if ((uint64_t)status != check->status)
        return rs_err_set(err, RS_E_UNAVAILABLE, "it answered with %d, not %llu", status,
                          (unsigned long long)check->status);
    return RS_OK;
}

/* Waits for the connection. False: it failed (errno), or the time is over (ETIMEDOUT). */
static bool await_connection(int fd, const struct health_subject *subject, int64_t end_ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    int problem = 0;
    socklen_t len = sizeof problem;
    for (;;) {
        int64_t left = end_ms - rs_mono_ms();
        int n = left > 0 && !atomic_load(subject->stop) ? poll(&pfd, 1, (int)RS_MIN(left, STEP_MS)) : -2;
        if (n > 0)
            break;
        if (n == -2 || (n < 0 && errno != EINTR)) {
            errno = n == -2 ? ETIMEDOUT : errno;
            return false;
        }
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &len) != 0)
        return false;
    errno = problem;
    return problem == 0;
}

static bool connect_to(const struct addrinfo *address, const struct health_subject *subject, int64_t end_ms)
{
    RS_AUTO(rs_fd_close) int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return true;
    return errno == EINPROGRESS && await_connection(fd, subject, end_ms);
}

/* "host:port", "[::1]:port", ":port" (this machine); the form was checked with the configuration. */
static rs_rc resolve(const char *target, struct addrinfo **out, struct rs_err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    char host[300], port[8];
    size_t colon = 0;
    rs_str text = rs_str_c(target), name;
    RS_ASSERT(rs_str_rfind(text, ':', &colon));
    name = rs_str_sub(text, 0, colon);
    if (name.len > 2 && name.ptr[0] == '[')
        name = rs_str_sub(name, 1, name.len - 2);
    if (!rs_str_copy_z(name, host, sizeof host) || !rs_str_copy_z(rs_str_from(text, colon + 1), port, sizeof port))
        return rs_err_set(err, RS_E_INVALID, "the address is too long");
    int rc = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, out);
    if (rc != 0)
        return rs_err_set(err, RS_E_UNAVAILABLE, "the name cannot be resolved: %s", gai_strerror(rc));
    return RS_OK;
}

static rs_rc check_tcp(const struct health_subject *subject, struct rs_err *err)
{
    int64_t end_ms = rs_mono_ms() + subject->config->timeout_ms;
    struct addrinfo *addresses = NULL;
    bool connected = false;
    RS_TRY(resolve(subject->config->target, &addresses, err));
    errno = 0;
    for (const struct addrinfo *a = addresses; a != NULL && !connected; a = a->ai_next)
        connected = connect_to(a, subject, end_ms);
    int problem = errno;
    freeaddrinfo(addresses);
    errno = problem;
    if (!connected)
        return rs_err_set(err, RS_E_UNAVAILABLE, "connection failed: %m");
    return RS_OK;
}

rs_rc health_check(const struct health_subject *subject, struct rs_err *err)
{
    switch (subject->config->kind) {
    case RS_CONFIG_CHECK_STORAGE:
        return check_storage(subject, err);
    case RS_CONFIG_CHECK_FILE:
        return check_file(subject, err);
    case RS_CONFIG_CHECK_HTTP:
        return check_http(subject, err);
    case RS_CONFIG_CHECK_TCP:
        return check_tcp(subject, err);
    }
    return RS_OK;
}

void health_name(const struct health_subject *subject, struct rs_buf *out)
{
    if (subject->config->kind == RS_CONFIG_CHECK_STORAGE)
        rs_buf_printf(out, "storagedriver_%s", rs_storage_name(subject->storage));
    else if (subject->config->kind != RS_CONFIG_CHECK_HTTP)
        rs_buf_add_c(out, subject->config->target);
    else if (!rs_client_origin(subject->config->target, out))
        rs_buf_add_c(out, "http");
}
