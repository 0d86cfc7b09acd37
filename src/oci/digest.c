/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/digest.h"

#define PREFIX_LEN 7 /* "sha256:", "sha512:" */

bool rs_digest_algorithm(rs_str name, enum rs_hash_alg *out)
{
    for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
        if (rs_str_eq_c(name, rs_hash_name((enum rs_hash_alg)alg))) {
            *out = (enum rs_hash_alg)alg;
            return true;
        }
    }
    return false;
}

rs_rc rs_digest_parse(rs_str text, struct rs_digest *out, struct rs_err *err)
{
    rs_str name;
    rs_str hex;
    rs_str shown = rs_str_sub(text, 0, RS_DIGEST_TEXT_MAX);
    enum rs_hash_alg alg;
    uint8_t raw[RS_HASH_MAX];
    if (!rs_str_cut(text, ':', &name, &hex))
        return rs_err_set(err, RS_E_DIGEST_INVALID, "\"" RS_STR_FMT "\" is not a digest: it has no \"algorithm:\"",
                          RS_STR_ARG(shown));
    if (!rs_digest_algorithm(name, &alg))
        return rs_err_set(err, RS_E_DIGEST_INVALID, "\"" RS_STR_FMT "\": the algorithm must be sha256 or sha512",
                          RS_STR_ARG(shown));
    if (!rs_hex_decode(hex, raw, rs_hash_size(alg)))
        return rs_err_set(err, RS_E_DIGEST_INVALID,
                          "\"" RS_STR_FMT "\": %zu lower-case hexadecimal digits must follow \"%s:\"",
                          RS_STR_ARG(shown), 2 * rs_hash_size(alg), rs_hash_name(alg));
    *out = (struct rs_digest){.alg = alg};
    memcpy(out->text, text.ptr, text.len);
    return RS_OK;
}

void rs_digest_of(enum rs_hash_alg alg, const void *data, size_t len, struct rs_digest *out)
{
    uint8_t raw[RS_HASH_MAX];
    rs_hash_once(alg, data, len, raw);
    rs_digest_from_raw(alg, raw, out);
}

void rs_digest_from_raw(enum rs_hash_alg alg, const uint8_t *raw, struct rs_digest *out)
{
    *out = (struct rs_digest){.alg = alg};
    memcpy(out->text, rs_hash_name(alg), PREFIX_LEN - 1);
    out->text[PREFIX_LEN - 1] = ':';
    rs_hex_encode(raw, rs_hash_size(alg), out->text + PREFIX_LEN);
}

bool rs_digest_eq(const struct rs_digest *a, const struct rs_digest *b)
{
    return strcmp(a->text, b->text) == 0;
}

const char *rs_digest_hex(const struct rs_digest *d)
{
    return d->text + PREFIX_LEN;
}

rs_str rs_digest_str(const struct rs_digest *d)
{
    return (rs_str){d->text, PREFIX_LEN + 2 * rs_hash_size(d->alg)};
}
