/* SPDX-License-Identifier: Apache-2.0 */
/* roadstead config check [CONFIG.yml]: says what is wrong, with lines, and prints what holds. Secrets are masked. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "config/config.h"

#define PRINT_MAX (16 * 1024 * 1024)

/* One line a problem: "place: error: key: text". */
static void print_problem(void *ctx, bool is_error, const char *place, const char *key, const char *text)
{
    (void)ctx;
    fprintf(stderr, "%s: %s: %s: %s\n", place, is_error ? "error" : "warning", key, text);
}

static int print_effective(const struct rs_config *config)
{
    struct rs_buf out;
    rs_buf_init(&out, PRINT_MAX);
    rs_config_print(config, &out);
    bool written = !out.overflow && fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    rs_buf_release(&out);
    if (!written)
        fprintf(stderr, "roadstead: the configuration could not be printed\n");
    return written ? RS_EXIT_OK : RS_EXIT_FAILED;
}

int rs_cmd_config(int argc, char **argv)
{
    if (argc < 2 || argc > 3 || strcmp(argv[1], "check") != 0) {
        fprintf(stderr, "Usage: roadstead config check [CONFIG.yml]\n"
                        "Without a file: the one that REGISTRY_CONFIGURATION_PATH names, else the defaults.\n");
        return RS_EXIT_USAGE;
    }
    const char *path = argc > 2 ? argv[2] : getenv("REGISTRY_CONFIGURATION_PATH");
    RS_AUTO(rs_config_free) struct rs_config *config = NULL;
    struct rs_err err;
    if (rs_config_load(path, environ, print_problem, NULL, &config, &err) != RS_OK)
        return RS_EXIT_FAILED;
    return print_effective(config);
}
