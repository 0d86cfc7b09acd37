/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of config: loads text and variables, and keeps what was told, one line a problem. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "config/config.h"

struct loaded {
    rs_rc rc;
    struct rs_err err;
    struct rs_config *config; /* NULL with errors */
    struct rs_buf told;       /* "E 3 auth.htpasswd\n", "W REGISTRY_PORT variable\n" … */
    struct rs_buf texts;      /* the same problems' texts */
};

static void told(void *ctx, bool is_error, const char *place, const char *key, const char *text)
{
    struct loaded *loaded = ctx;
    const char *line = strstr(place, ".yml:");
    assert_true(key[0] != '\0' && text[0] != '\0');
    rs_buf_printf(&loaded->told, "%c %s %s\n", is_error ? 'E' : 'W', line != NULL ? line + 5 : place, key);
    rs_buf_printf(&loaded->texts, "%s\n", text);
}

/* Variables are separated by line ends ("A=1\nB=2"); yaml and variables may be NULL. */
static struct loaded load(const char *yaml, const char *variables)
{
    struct loaded loaded = {.rc = RS_E_INTERNAL};
    char path[] = "/tmp/roadstead-config-XXXXXX.yml";
    char *environment[64] = {NULL};
    char *copy = rs_strdup(variables != NULL ? variables : "");
    char *rest = copy;
    for (size_t i = 0; i + 1 < RS_COUNT(environment) && *rest != '\0'; i++) {
        environment[i] = rest;
        rest += strcspn(rest, "\n");
        if (*rest != '\0')
            *rest++ = '\0';
    }
    rs_buf_init(&loaded.told, 1 << 20);
    rs_buf_init(&loaded.texts, 1 << 20);
    if (yaml != NULL) {
        int fd = mkstemps(path, 4);
        assert_true(fd >= 0);
        assert_int_equal(rs_write_all(fd, yaml, strlen(yaml), &loaded.err), RS_OK);
        close(fd);
    }
    loaded.rc = rs_config_load(yaml != NULL ? path : NULL, environment, told, &loaded, &loaded.config, &loaded.err);
    if (yaml != NULL)
        unlink(path);
    free(copy);
    assert_int_equal(loaded.rc == RS_OK, loaded.config != NULL);
    return loaded;
}

static void unload(struct loaded *loaded)
{
    rs_config_free(&loaded->config);
    rs_buf_release(&loaded->told);
    rs_buf_release(&loaded->texts);
}

struct told_case {
    const char *yaml;
    const char *variables;
    const char *told;
};

/* Each case tells exactly these problems, and fails exactly if one of them is an error. */
static RS_UNUSED void check_cases(const struct told_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct loaded loaded = load(cases[i].yaml, cases[i].variables);
        const char *expected = cases[i].told;
        if (strcmp(rs_buf_z(&loaded.told), expected) != 0)
            print_error("case %zu:\n%s\n%s\n", i, cases[i].yaml != NULL ? cases[i].yaml : "(no file)",
                        cases[i].variables != NULL ? cases[i].variables : "");
        assert_string_equal(rs_buf_z(&loaded.told), expected);
        bool error = strncmp(expected, "E ", 2) == 0 || strstr(expected, "\nE ") != NULL;
        assert_int_equal(loaded.rc, error ? RS_E_CONFIG : RS_OK);
        unload(&loaded);
    }
}

/* A file that is right, but for what is added. */
#define GOOD "version: 0.1\nstorage: {filesystem: {rootdirectory: /srv}}\n"
