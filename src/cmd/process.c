/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"

#define FILES_WANTED (1024 * 1024) /* what the kernel allows by default (fs.nr_open) */
#define FILES_NEEDED 64            /* the server's own, and a few connections with their files */

rs_rc rs_process_std_fds(struct rs_err *err)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) /* gets the lowest number that is free */
            return rs_err_sys(err, errno, "the descriptor %d is closed, and /dev/null cannot be opened for it", fd);
    return RS_OK;
}

rs_rc rs_process_raise_files(uint64_t *out, struct rs_err *err)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return rs_err_sys(err, errno, "the limit of open files cannot be read");
    struct rlimit wanted = {RS_MAX(limit.rlim_max, FILES_WANTED), RS_MAX(limit.rlim_max, FILES_WANTED)};
    if (setrlimit(RLIMIT_NOFILE, &wanted) != 0) { /* not root, or above fs.nr_open */
        wanted = (struct rlimit){limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &wanted) != 0)
            wanted = limit;
    }
    *out = wanted.rlim_cur;
    if (*out < FILES_NEEDED)
        return rs_err_set(err, RS_E_IO,
                          "only %llu open files are allowed, %d are the least that is needed; raise the limit "
                          "(ulimit -n, LimitNOFILE=), best to some thousands",
                          (unsigned long long)*out, FILES_NEEDED);
    return RS_OK;
}

/* --- signals --- */

#define WAKE SIGRTMIN /* nobody else's: SIGUSR1 and 2 are the operator's */

static void waited_for(sigset_t *out)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

    sigemptyset(out);
    for (size_t i = 0; i < RS_COUNT(signals); i++)
        sigaddset(out, signals[i]);
    sigaddset(out, WAKE);
}

static void nothing(int sig)
{
    (void)sig;
}

void rs_process_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction handle = {.sa_handler = nothing};
    sigset_t set;

    waited_for(&set);
    RS_ASSERT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    /* PID 1 gets no signal that has the default action. These never run: the signals stay blocked. */
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        if (sigismember(&set, sig) == 1)
            sigaction(sig, &handle, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL); /* a file beyond the limit (ulimit -f) is that write's error, EFBIG */
    /* PID 1 inherits orphans; when SIGCHLD is ignored the kernel buries them. */
    sigaction(SIGCHLD, &ignore, NULL);
}

int rs_process_wait(void)
{
    sigset_t set;
    int sig = 0;

    waited_for(&set);
    RS_ASSERT(sigwait(&set, &sig) == 0);
    return sig == WAKE ? 0 : sig;
}

void rs_process_wake(void)
{
    kill(getpid(), WAKE);
}

int rs_process_wait_ms(int64_t ms)
{
    const struct timespec limit = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    sigset_t set;

    waited_for(&set);
    int sig = sigtimedwait(&set, NULL, &limit);
    return RS_MAX(sig, 0);
}

bool rs_process_is_told_to_stop(void)
{
    static atomic_bool told;

    for (int sig = 1; !atomic_load(&told) && sig != 0;) {
        sig = rs_process_wait_ms(0);
        if (sig == SIGTERM || sig == SIGINT)
            atomic_store(&told, true);
    }
    return atomic_load(&told);
}

/* --- another user --- */

struct identity {
    uid_t uid;
    gid_t gid;
    const char *name; /* for the user's further groups; NULL: none */
};

static bool parse_number(const char *text, uint64_t *out)
{
    return rs_str_u64(rs_str_c(text), UINT32_MAX - 1, out);
}

static rs_rc find_user(const char *user, struct identity *out, struct rs_err *err)
{
    uint64_t uid;
    const struct passwd *entry;

    if (parse_number(user, &uid)) {
        entry = getpwuid((uid_t)uid);
        *out = (struct identity){(uid_t)uid, entry != NULL ? entry->pw_gid : (gid_t)uid, NULL};
    } else {
        entry = getpwnam(user);
        if (entry == NULL)
            return rs_err_set(err, RS_E_CONFIG, "roadstead.user: there is no user \"%s\"", user);
        *out = (struct identity){entry->pw_uid, entry->pw_gid, NULL};
    }
    if (entry != NULL)
        out->name = entry->pw_name;
    return RS_OK;
}

static rs_rc find_group(const char *group, struct identity *out, struct rs_err *err)
{
    uint64_t gid;
    const struct group *entry;

    out->name = NULL;
    if (parse_number(group, &gid)) {
        out->gid = (gid_t)gid;
        return RS_OK;
    }
    entry = getgrnam(group);
    if (entry == NULL)
        return rs_err_set(err, RS_E_CONFIG, "roadstead.user: there is no group \"%s\"", group);
    out->gid = entry->gr_gid;
    return RS_OK;
}

/* The order matters: groups can be changed only as root. */
static rs_rc become(const struct identity *who, struct rs_err *err)
{
    int rc = who->name != NULL ? initgroups(who->name, who->gid) : setgroups(1, &who->gid);

    if (rc != 0 || setgid(who->gid) != 0 || setuid(who->uid) != 0)
        return rs_err_set(err, RS_E_CONFIG, "roadstead.user: cannot become user %u, group %u: %m", who->uid, who->gid);
    if (getuid() != who->uid || geteuid() != who->uid || getgid() != who->gid || getegid() != who->gid ||
        (who->uid != 0 && setuid(0) == 0))
        return rs_err_set(err, RS_E_CONFIG, "roadstead.user: the system did not let go of its privileges");
    return RS_OK;
}

rs_rc rs_process_become(const char *user, struct rs_err *err)
{
    char name[256];
    rs_str head, group;
    struct identity who = {0};

    if (user[0] == '\0')
        return RS_OK;
    bool has_group = rs_str_cut(rs_str_c(user), ':', &head, &group);
    if (!rs_str_copy_z(head, name, sizeof name))
        return rs_err_set(err, RS_E_CONFIG, "roadstead.user: the name is too long");
    RS_TRY(find_user(name, &who, err));
    if (has_group)
        RS_TRY(find_group(group.ptr, &who, err)); /* the end of a NUL-terminated string */
    return become(&who, err);
}
