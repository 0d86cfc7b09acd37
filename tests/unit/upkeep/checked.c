/* SPDX-License-Identifier: Apache-2.0 */
#include "checked.h"

#include "base/mem.h"

#define DAY 86400

void checked_release(struct checked *c)
{
    rs_buf_release(&c->text);
    rs_buf_release(&c->full);
}

static void found(void *ctx, const struct rs_finding *f)
{
    struct checked *c = ctx;
    rs_buf_printf(&c->text, "%s %s " RS_STR_FMT " " RS_STR_FMT "\n", rs_finding_word(f->kind),
                  rs_finding_outcome_word(f->outcome), RS_STR_ARG(f->repository), RS_STR_ARG(f->subject));
    rs_buf_printf(&c->full, "%s %s " RS_STR_FMT " " RS_STR_FMT " " RS_STR_FMT ": " RS_STR_FMT "; " RS_STR_FMT "\n",
                  rs_finding_word(f->kind), rs_finding_outcome_word(f->outcome), RS_STR_ARG(f->repository),
                  RS_STR_ARG(f->subject), RS_STR_ARG(f->path), RS_STR_ARG(f->what), RS_STR_ARG(f->action));
    assert_true(f->outcome == RS_FINDING_STAYS || f->action.len > 0);
}

static bool goes_on(void *ctx)
{
    struct checked *c = ctx;
    return ++c->asked != c->stop_after;
}

void check_storage(struct fixture *f, const char *flags, struct checked *out)
{
    const struct rs_check_config config = {
        .storage = f->storage,
        .registry = f->registry,
        .state_dir = f->state,
        .repair = strchr(flags, 'r') != NULL,
        .hash = strchr(flags, 'n') == NULL,
        .grace_s = strchr(flags, 'g') != NULL ? 3600 : 0,
        .upload_age_s = 3600,
        .goes_on = goes_on,
        .found = found,
        .ctx = out,
    };
    rs_buf_init(&out->text, 1 << 20);
    rs_buf_init(&out->full, 4 << 20);
    out->rc = rs_check_run(&config, &out->counts, &out->err);
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

void checked_assert(const struct checked *c, const char *const *lines, const char *file, int line)
{
    size_t n = 0;
    bool fits = c->rc == RS_OK;
    struct rs_buf text = c->text; /* borrowed */
    RS_AUTO(rs_free_ptr) char *told = rs_str_dup(rs_buf_str(&text));
    for (; lines[n] != NULL && lines[n][0] != '\0'; n++) {
        char wanted[1024];
        snprintf(wanted, sizeof wanted, "%s\n", lines[n]);
        const char *at = strstr(told, wanted);
        fits = fits && at != NULL && (at == told || at[-1] == '\n');
    }
    if (fits && n == count_lines(told))
        return;
    RS_AUTO(rs_free_ptr) char *full = rs_str_dup(rs_buf_str(&c->full));
    print_error("%s: told was\n%s", c->rc == RS_OK ? "it ended well" : c->err.text, full);
    for (n = 0; lines[n] != NULL; n++)
        print_error("expected: %s\n", lines[n]);
    _fail(file, line);
}

static char *next_path(void)
{
    static char paths[8][512];
    static unsigned next;
    return paths[next++ % 8];
}

const char *data_path(const struct rs_digest *digest)
{
    char *out = next_path();
    const char *hex = rs_digest_hex(digest);
    snprintf(out, 512, "blobs/%s/%.2s/%s/data", rs_hash_name(digest->alg), hex, hex);
    return out;
}

const char *layer_path(const char *repository, const struct rs_digest *digest)
{
    char *out = next_path();
    snprintf(out, 512, "repositories/%s/_layers/%s/%s/link", repository, rs_hash_name(digest->alg),
             rs_digest_hex(digest));
    return out;
}

const char *revision_path(const char *repository, const struct rs_digest *digest)
{
    char *out = next_path();
    snprintf(out, 512, "repositories/%s/_manifests/revisions/%s/%s/link", repository, rs_hash_name(digest->alg),
             rs_digest_hex(digest));
    return out;
}

void make_old(struct fixture *f, const char *path)
{
    char *above = next_path();
    snprintf(above, 512, "%s", path);
    for (int i = 0; i < 3; i++) {
        fixture_age(f, above, DAY);
        char *slash = strrchr(above, '/');
        if (slash == NULL)
            return;
        *slash = '\0';
    }
}
