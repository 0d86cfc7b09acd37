/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/state.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"

#define NUMBERS 64
#define MODE 0700
#define OPEN_FILES 16 /* of the walk that removes a temporary directory */

/* Makes a directory and those above it. An errno value, or 0. */
static int make_directories(const char *path)
{
    char part[PATH_MAX];

    if (path[0] == '\0' || !rs_str_copy_z(rs_str_c(path), part, sizeof part))
        return ENAMETOOLONG;
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return errno;
        *slash = '/';
    }
    return mkdir(part, MODE) == 0 || errno == EEXIST ? 0 : errno;
}

/* An open-file-description lock on the file `lock` in it: EAGAIN if another process has it. */
static int take(const char *path, struct rs_state *out)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char file[PATH_MAX];
    int errnum = make_directories(path);

    if (errnum != 0)
        return errnum;
    if (snprintf(file, sizeof file, "%s/lock", path) >= (int)sizeof file)
        return ENAMETOOLONG;
    RS_AUTO(rs_fd_close) int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &whole) != 0)
        return errno;
    *out = (struct rs_state){.path = rs_strdup(path), .lock = rs_fd_take(&fd)};
    return 0;
}

/* False: nothing can be made there, or all are taken. */
static bool take_numbered(const char *fallback, struct rs_state *out)
{
    char path[PATH_MAX];

    for (unsigned i = 0; i < NUMBERS; i++) {
        if (snprintf(path, sizeof path, "%s/%u", fallback, i) >= (int)sizeof path)
            return false;
        int errnum = take(path, out);
        if (errnum == 0)
            return true;
        if (errnum != EAGAIN)
            return false;
    }
    return false;
}

static rs_rc take_temporary(struct rs_state *out, struct rs_err *err)
{
    char path[PATH_MAX];
    const char *above = getenv("TMPDIR");

    if (above == NULL || above[0] == '\0')
        above = "/tmp";
    if (snprintf(path, sizeof path, "%s/roadstead-XXXXXX", above) >= (int)sizeof path || mkdtemp(path) == NULL)
        return rs_err_set(err, RS_E_CONFIG, "no state directory can be made below %s (%s): set roadstead.state_dir",
                          above, strerrordesc_np(errno));
    int errnum = take(path, out);
    if (errnum != 0)
        return rs_err_set(err, RS_E_CONFIG, "the state directory %s cannot be used: %s", path, strerrordesc_np(errnum));
    out->is_temporary = true;
    return RS_OK;
}

rs_rc rs_state_open(const char *configured, const char *fallback, struct rs_state *out, struct rs_err *err)
{
    if (configured[0] == '\0') {
        if (fallback != NULL && take_numbered(fallback, out))
            return RS_OK;
        return take_temporary(out, err);
    }
    int errnum = take(configured, out);
    if (errnum == EAGAIN)
        return rs_err_set(err, RS_E_CONFIG,
                          "roadstead.state_dir: %s is in use by another process; give each one a directory of its own",
                          configured);
    if (errnum != 0)
        return rs_err_set(err, RS_E_CONFIG, "roadstead.state_dir: %s cannot be used: %s", configured,
                          strerrordesc_np(errnum));
    return RS_OK;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    remove(path); /* what stays is an empty directory of the system's temporary ones */
    return 0;
}

void rs_state_close(struct rs_state *state)
{
    if (state->path == NULL)
        return;
    if (state->is_temporary)
        nftw(state->path, remove_one, OPEN_FILES, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    rs_fd_close(&state->lock);
    rs_free_ptr(&state->path);
}
