/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry:2's _state: base64url(HMAC-SHA256(secret, json) ‖ json). We never need it, the storage knows the offset; a
 * registry:2 on the same storage does, and takes ours if it has the same http.secret.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "api/api_priv.h"
#include "base/clock.h"
#include "base/log.h"

#define MAC_SIZE 32
#define JSON_MAX 1024

/* The keys and their order are registry:2's. */
static void state_json(struct rs_buf *out, const struct rs_upload_state *state)
{
    char started[RS_RFC3339_SIZE];

    rs_rfc3339(state->started_s, started);
    rs_buf_add_c(out, "{\"Name\":");
    rs_json_quote(out, state->name);
    rs_buf_add_c(out, ",\"UUID\":");
    rs_json_quote(out, state->uuid);
    rs_buf_printf(out, ",\"Offset\":%llu,\"StartedAt\":\"%s\"}", (unsigned long long)state->offset, started);
}

static void base64url(struct rs_buf *out, const uint8_t *bytes, size_t len)
{
    uint8_t text[4 * ((MAC_SIZE + JSON_MAX + 2) / 3) + 1];
    int n = EVP_EncodeBlock(text, bytes, (int)len);

    for (int i = 0; i < n; i++) {
        if (text[i] == '=')
            rs_buf_add_c(out, "%3D");
        else
            rs_buf_add_char(out, text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i]);
    }
}

void rs_upload_state_encode(struct rs_buf *out, rs_str secret, const struct rs_upload_state *state)
{
    uint8_t bytes[MAC_SIZE + JSON_MAX];
    unsigned mac_len = 0;
    struct rs_buf json;

    rs_buf_init(&json, JSON_MAX);
    state_json(&json, state);
    RS_ASSERT(!json.overflow); /* a name and a UUID are short */
    memcpy(bytes + MAC_SIZE, json.ptr, json.len);
    HMAC(EVP_sha256(), secret.ptr, (int)secret.len, bytes + MAC_SIZE, json.len, bytes, &mac_len);
    RS_ASSERT(mac_len == MAC_SIZE);
    base64url(out, bytes, MAC_SIZE + json.len);
    rs_buf_release(&json);
}
