/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/policy.h"

#include "base/glob.h"
#include "base/mem.h"
#include "metrics/metrics.h"

#define SHOWN_MAX 64 /* bytes of patterns in a text for people */

struct rs_policy {
    size_t count;
    struct rs_immutable_rule rules[];
};

struct rs_policy *rs_policy_new(const struct rs_registry_config *config)
{
    if (config->immutable_count == 0)
        return NULL;
    size_t size = config->immutable_count * sizeof *config->immutable;
    struct rs_policy *policy = rs_malloc(sizeof *policy + size);
    policy->count = config->immutable_count;
    memcpy(policy->rules, config->immutable, size);
    return policy;
}

void rs_policy_free(struct rs_policy **policy)
{
    free(rs_take(policy));
}

static bool concerns(const struct rs_immutable_rule *rule, rs_str repository)
{
    return rs_globs_match(rule->repositories, rule->repository_count, repository);
}

bool rs_policy_concerns(const struct rs_policy *policy, rs_str repository)
{
    for (size_t i = 0; policy != NULL && i < policy->count; i++)
        if (concerns(&policy->rules[i], repository))
            return true;
    return false;
}

/* The first rule that holds for the tag. */
static const struct rs_immutable_rule *find(const struct rs_policy *policy, rs_str repository, rs_str tag)
{
    for (size_t i = 0; policy != NULL && i < policy->count; i++) {
        const struct rs_immutable_rule *rule = &policy->rules[i];
        if (concerns(rule, repository) && rs_globs_match(rule->tags, rule->tag_count, tag))
            return rule;
    }
    return NULL;
}

bool rs_policy_is_immutable(const struct rs_policy *policy, rs_str repository, rs_str tag)
{
    return find(policy, repository, tag) != NULL;
}

void rs_policy_show(struct rs_buf *out, const char *const *globs, size_t count)
{
    size_t start = out->len;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && out->len - start + strlen(globs[i]) > SHOWN_MAX) {
            rs_buf_add_c(out, ", ...");
            return;
        }
        rs_buf_printf(out, "%s%s", i > 0 ? ", " : "", globs[i]);
    }
}

/* The rule by its key, and its patterns. */
static const char *rule_text(struct rs_buf *out, const struct rs_policy *policy, rs_str repository, rs_str tag)
{
    const struct rs_immutable_rule *rule = find(policy, repository, tag);
    rs_buf_printf(out, "roadstead.immutable_tags[%zu]: ", (size_t)(rule - policy->rules));
    rs_policy_show(out, rule->tags, rule->tag_count);
    rs_buf_add_c(out, " of ");
    rs_policy_show(out, rule->repositories, rule->repository_count);
    return rs_buf_z(out);
}

rs_rc rs_policy_refuse_push(const struct rs_policy *policy, rs_str repository, rs_str tag, const struct rs_digest *held,
                            struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf rule;
    rs_buf_init(&rule, 8 * RS_ERR_TEXT_MAX);
    rs_metrics_add(RS_METRIC_DENIED, RS_LABELS(RS_VALUE_DENIAL_IMMUTABLE_PUSH), 1);
    return rs_err_set(err, RS_E_DENIED,
                      "tag " RS_STR_FMT " of " RS_STR_FMT " is immutable and is %s already: push that manifest "
                      "again, or use another tag (%s)",
                      RS_STR_ARG(tag), RS_STR_ARG(repository), held->text, rule_text(&rule, policy, repository, tag));
}

rs_rc rs_policy_refuse_delete(const struct rs_policy *policy, rs_str repository, rs_str tag, struct rs_err *err)
{
    RS_AUTO(rs_buf_release) struct rs_buf rule;
    rs_buf_init(&rule, 8 * RS_ERR_TEXT_MAX);
    rs_metrics_add(RS_METRIC_DENIED, RS_LABELS(RS_VALUE_DENIAL_IMMUTABLE_DELETE), 1);
    return rs_err_set(err, RS_E_DENIED,
                      "tag " RS_STR_FMT " of " RS_STR_FMT " is immutable: neither it nor what it points to can be "
                      "deleted (%s)",
                      RS_STR_ARG(tag), RS_STR_ARG(repository), rule_text(&rule, policy, repository, tag));
}
