/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader of the configuration: bytes up to the first NUL are the file, the strings behind it variables (each gets
 * its prefix, so that the fuzzer need not guess it). What loads must print, load again, and print the same from then on
 * (the first print leaves unknown keys out, and with them what they alone had switched on).
 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "config/config.h"

#define VARIABLES_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void report(void *ctx, bool is_error, const char *place, const char *key, const char *text)
{
    (void)ctx;
    (void)is_error;
    RS_ASSERT(place[0] != '\0' && key[0] != '\0' && text[0] != '\0');
}

static struct rs_config *load(rs_str text, char *const *variables)
{
    char path[64];
    struct rs_err err;
    struct rs_config *config = NULL;
    int fd = memfd_create("config", MFD_CLOEXEC);
    RS_ASSERT(fd >= 0 && rs_write_all(fd, text.ptr, text.len, &err) == RS_OK);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    rs_rc rc = rs_config_load(path, variables, report, NULL, &config, &err);
    RS_ASSERT((rc == RS_OK) == (config != NULL));
    RS_ASSERT(rc == RS_OK || err.text[0] != '\0');
    close(fd);
    return config;
}

static void print(struct rs_config *config, struct rs_buf *out)
{
    rs_buf_init(out, 64 * 1024 * 1024);
    rs_config_print(config, out);
    RS_ASSERT(!out->overflow);
    rs_config_free(&config);
}

static void reprint(const struct rs_buf *from, struct rs_buf *out)
{
    struct rs_config *config = load(rs_buf_str(from), NULL);
    RS_ASSERT(config != NULL);
    print(config, out);
}

/* Returns how many variables there are. */
static size_t split(rs_str rest, char **variables)
{
    size_t count = 0;
    rs_str one;
    while (rest.len > 0 && count < VARIABLES_MAX) {
        rs_str_cut(rest, '\0', &one, &rest);
        char *z = rs_malloc(one.len + sizeof "ROADSTEAD_");
        size_t prefix = one.len > 0 && one.ptr[0] == '+' ? 10 : 9;
        memcpy(z, prefix == 10 ? "ROADSTEAD_" : "REGISTRY_", prefix);
        memcpy(z + prefix, one.ptr, one.len);
        z[prefix + one.len] = '\0';
        if (prefix == 10)
            memmove(z + prefix, z + prefix + 1, one.len);
        variables[count++] = z;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rs_str text;
    rs_str rest;
    char *variables[VARIABLES_MAX + 1] = {NULL};
    rs_str_cut((rs_str){(const char *)data, size}, '\0', &text, &rest);
    size_t count = split(rest, variables);
    struct rs_config *config = load(text, variables);
    if (config != NULL) {
        struct rs_buf first;
        struct rs_buf second;
        struct rs_buf third;
        print(config, &first);
        reprint(&first, &second);
        reprint(&second, &third);
        RS_ASSERT(rs_str_eq(rs_buf_str(&second), rs_buf_str(&third)));
        rs_buf_release(&first);
        rs_buf_release(&second);
        rs_buf_release(&third);
    }
    for (size_t i = 0; i < count; i++)
        free(variables[i]);
    return 0;
}
