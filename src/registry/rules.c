/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As registry:2 has it: with any pattern, a URL is http or https, has no fragment, matches one of `allow` (if there are
 * some) and none of `deny`. A match that takes too long counts as what restricts. Unlike there, no pattern at all
 * allows everything, and the URLs of every descriptor are looked at, not those of layers of some types alone.
 */
#include "registry/rules.h"

#include "base/mem.h"
#include "base/pattern.h"

struct patterns {
    struct rs_pattern **items;
    size_t count;
};

struct rs_rules {
    struct patterns allow;
    struct patterns deny;
    enum rs_index_rule index;
    struct rs_platform *platforms;
    size_t platform_count;
};

static void patterns_release(struct patterns *p)
{
    for (size_t i = 0; i < p->count; i++)
        rs_pattern_free(&p->items[i]);
    free(p->items);
}

static rs_rc patterns_make(struct patterns *p, const char *const *texts, size_t count, struct rs_err *err)
{
    p->items = rs_calloc(count + 1, sizeof(struct rs_pattern *));
    for (; p->count < count; p->count++)
        if (rs_pattern_new(rs_str_c(texts[p->count]), &p->items[p->count], err) != RS_OK)
            return RS_E_CONFIG;
    return RS_OK;
}

rs_rc rs_rules_new(const struct rs_manifest_rules *from, struct rs_rules **out, struct rs_err *err)
{
    RS_AUTO(rs_rules_free) struct rs_rules *rules = rs_calloc(1, sizeof *rules);
    rules->index = from->index;
    rules->platform_count = from->platform_count;
    rules->platforms = rs_calloc(from->platform_count + 1, sizeof *rules->platforms);
    if (from->platform_count > 0)
        memcpy(rules->platforms, from->platforms, from->platform_count * sizeof *rules->platforms);
    rs_rc rc = patterns_make(&rules->allow, from->url_allow, from->url_allow_count, err);
    if (rc == RS_OK)
        rc = patterns_make(&rules->deny, from->url_deny, from->url_deny_count, err);
    if (rc != RS_OK && err != NULL)
        err->rc = rc;
    RS_TRY(rc);
    *out = rs_take(&rules);
    return RS_OK;
}

void rs_rules_free(struct rs_rules **rules)
{
    if (*rules == NULL)
        return;
    patterns_release(&(*rules)->allow);
    patterns_release(&(*rules)->deny);
    free((*rules)->platforms);
    free(*rules);
    *rules = NULL;
}

/* http or https, without fragment, blanks and control characters: what every client reads alike. */
static bool is_plain(rs_str url)
{
    bool is_http = rs_str_eq_nocase(rs_str_sub(url, 0, 7), RS_STR("http://")) ||
                   rs_str_eq_nocase(rs_str_sub(url, 0, 8), RS_STR("https://"));
    for (size_t i = 0; i < url.len; i++) {
        unsigned char c = (unsigned char)url.ptr[i];
        if (c <= ' ' || c == 0x7f || c == '#')
            return false;
    }
    return is_http;
}

static bool is_allowed(const struct rs_rules *rules, rs_str url)
{
    bool allowed = rules->allow.count == 0;
    if (!is_plain(url))
        return false;
    for (size_t i = 0; i < rules->allow.count && !allowed; i++)
        allowed = rs_pattern_match(rules->allow.items[i], url) == RS_MATCH_YES;
    for (size_t i = 0; i < rules->deny.count && allowed; i++)
        allowed = rs_pattern_match(rules->deny.items[i], url) == RS_MATCH_NO;
    return allowed;
}

rs_rc rs_rules_check_urls(const struct rs_rules *rules, const struct rs_descriptor *d, struct rs_err *err)
{
    if (rules->allow.count + rules->deny.count == 0)
        return RS_OK;
    for (size_t i = 0; i < d->url_count; i++)
        if (!is_allowed(rules, d->urls[i]))
            return rs_err_set(err, RS_E_MANIFEST_INVALID,
                              "%s: the address \"" RS_STR_FMT "\" is not allowed here (validation.manifests.urls)",
                              d->digest.text, RS_STR_ARG(rs_str_sub(d->urls[i], 0, 200)));
    return RS_OK;
}

bool rs_rules_need(const struct rs_rules *rules, const struct rs_descriptor *d)
{
    if (d->role != RS_ROLE_MANIFEST || rules->index == RS_INDEX_ALL)
        return true;
    if (rules->index == RS_INDEX_NONE)
        return false;
    for (size_t i = 0; i < rules->platform_count; i++) {
        const struct rs_platform *p = &rules->platforms[i];
        if (rs_str_eq_c(d->os, p->os) && rs_str_eq_c(d->architecture, p->architecture))
            return true;
    }
    return rules->platform_count == 0; /* as registry:3 */
}
