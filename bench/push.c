/* SPDX-License-Identifier: Apache-2.0 */
/* push ADDRESS:PORT REPOSITORY BYTES CHUNK COUNT: pushes COUNT blobs of fresh content one after the other. CHUNK 0 is
 * one PUT with the whole body, else PATCHes of CHUNK bytes and an empty PUT. REPOSITORY "-" sends the bare PUT that
 * `limit` takes. Prints one JSON line a push; making the content and hashing it here is outside the time. */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct content {
    char *data;
    size_t len;
    char hex[WIRE_HEX_SIZE];
};

static void push_bare(struct wire *wire, const struct content *content)
{
    struct wire_reply reply;
    wire_request(wire, "PUT /%s HTTP/1.1\r\nContent-Length: %zu\r\n", content->hex, content->len);
    wire_send(wire, content->data, content->len);
    wire_expect(wire, &reply, 201, "a bare push");
}

static void push_whole(struct wire *wire, const char *repository, const struct content *content)
{
    struct wire_reply reply;
    wire_upload_start(wire, repository, &reply);
    wire_upload_finish_head(wire, reply.location, content->hex, content->len);
    wire_send(wire, content->data, content->len);
    wire_expect(wire, &reply, 201, "the PUT of a whole blob");
}

static void push_chunks(struct wire *wire, const char *repository, const struct content *content, size_t chunk)
{
    struct wire_reply reply;
    wire_upload_start(wire, repository, &reply);
    for (size_t at = 0; at < content->len; at += chunk) {
        size_t len = content->len - at < chunk ? content->len - at : chunk;
        wire_request(wire,
                     "PATCH %s HTTP/1.1\r\nContent-Length: %zu\r\nContent-Range: %zu-%zu\r\n"
                     "Content-Type: application/octet-stream\r\n",
                     reply.location, len, at, at + len - 1);
        wire_send(wire, content->data + at, len);
        wire_expect(wire, &reply, 202, "a PATCH");
    }
    wire_upload_finish_head(wire, reply.location, content->hex, 0);
    wire_expect(wire, &reply, 201, "the PUT after the PATCHes");
}

static double push(struct wire *wire, const char *repository, const struct content *content, size_t chunk)
{
    double begin = wire_now();
    if (strcmp(repository, "-") == 0)
        push_bare(wire, content);
    else if (chunk == 0)
        push_whole(wire, repository, content);
    else
        push_chunks(wire, repository, content, chunk);
    return wire_now() - begin;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        wire_die("usage: push ADDRESS:PORT REPOSITORY BYTES CHUNK COUNT");
    struct sockaddr_in to = wire_address(argv[1]);
    struct content content = {.len = strtoul(argv[3], NULL, 10)};
    struct wire wire;
    content.data = malloc(content.len);
    if (content.data == NULL)
        wire_die("no memory for %zu bytes", content.len);
    for (long i = strtol(argv[5], NULL, 10); i > 0; i--) {
        wire_fill(content.data, content.len, wire_seed());
        wire_sha256(content.data, content.len, content.hex);
        wire_open(&wire, &to);
        double seconds = push(&wire, argv[2], &content, strtoul(argv[4], NULL, 10));
        wire_close(&wire);
        printf("{\"seconds\": %.6f, \"bytes\": %zu, \"digest\": \"sha256:%s\"}\n", seconds, content.len, content.hex);
    }
    free(content.data);
    return 0;
}
