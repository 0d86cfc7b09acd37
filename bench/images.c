/* SPDX-License-Identifier: Apache-2.0 */
/* images ADDRESS:PORT REPOSITORY IMAGES LAYERS BYTES PARALLEL: pushes images of fresh layers one after the other, as
 * docker does: for each layer HEAD, POST, one chunked PATCH, PUT, with PARALLEL layers at once on keep-alive
 * connections; then the configuration the same way, then the manifest by tag. Prints one JSON line an image; making
 * and hashing the content is outside the time. */
#include "wire.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"
#define CONFIG_TYPE "application/vnd.docker.container.image.v1+json"
#define LAYER_TYPE "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define MAX_PARALLEL 16
#define TEXT_SIZE ((size_t)64 << 10)

struct blob {
    char *data;
    size_t len;
    char hex[WIRE_HEX_SIZE];
};

struct image {
    const char *repository;
    unsigned count;
    struct blob *layers, config;
    char manifest[TEXT_SIZE];
    _Atomic unsigned next;
};

struct pusher {
    pthread_t thread;
    struct image *image;
    struct wire wire;
};

struct text {
    char *at;
    size_t used, size;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text->at + text->used, text->size - text->used, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= text->size - text->used)
        wire_die("too many layers for a manifest of %zu bytes", text->size);
    text->used += (size_t)len;
}

static void make_config(struct image *image)
{
    struct text text = {.at = image->config.data, .size = TEXT_SIZE};
    add(&text,
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
    for (unsigned i = 0; i < image->count; i++)
        add(&text, "%s\"sha256:%s\"", i == 0 ? "" : ",", image->layers[i].hex);
    add(&text, "]}}");
    image->config.len = text.used;
    wire_sha256(image->config.data, image->config.len, image->config.hex);
}

static void make_manifest(struct image *image)
{
    struct text text = {.at = image->manifest, .size = sizeof image->manifest};
    add(&text,
        "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":{\"mediaType\":\"" CONFIG_TYPE "\",");
    add(&text, "\"size\":%zu,\"digest\":\"sha256:%s\"},\"layers\":[", image->config.len, image->config.hex);
    for (unsigned i = 0; i < image->count; i++)
        add(&text, "%s{\"mediaType\":\"" LAYER_TYPE "\",\"size\":%zu,\"digest\":\"sha256:%s\"}", i == 0 ? "" : ",",
            image->layers[i].len, image->layers[i].hex);
    add(&text, "]}");
}

static void make_image(struct image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        wire_fill(image->layers[i].data, image->layers[i].len, wire_seed());
        wire_sha256(image->layers[i].data, image->layers[i].len, image->layers[i].hex);
    }
    make_config(image);
    make_manifest(image);
    atomic_store(&image->next, 0);
}

static void push_blob(struct wire *wire, const char *repository, const struct blob *blob)
{
    struct wire_reply reply;
    char size[32];
    wire_request(wire, "HEAD /v2/%s/blobs/sha256:%s HTTP/1.1\r\n", repository, blob->hex);
    wire_read_head(wire, &reply, true);
    if (reply.status != 404)
        wire_die("HEAD of a fresh blob: status %d", reply.status);
    wire_upload_start(wire, repository, &reply);
    wire_request(wire, "PATCH %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", reply.location);
    wire_send(wire, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", blob->len));
    wire_send(wire, blob->data, blob->len);
    wire_send(wire, "\r\n0\r\n\r\n", 7);
    wire_expect(wire, &reply, 202, "a PATCH");
    wire_upload_finish_head(wire, reply.location, blob->hex, 0);
    wire_expect(wire, &reply, 201, "the PUT after a PATCH");
}

static void *push_layers(void *arg)
{
    struct pusher *pusher = arg;
    struct image *image = pusher->image;
    for (unsigned i; (i = atomic_fetch_add(&image->next, 1)) < image->count;)
        push_blob(&pusher->wire, image->repository, &image->layers[i]);
    return NULL;
}

static void push_manifest(struct wire *wire, const struct image *image)
{
    struct wire_reply reply;
    size_t len = strlen(image->manifest);
    wire_request(wire,
                 "PUT /v2/%s/manifests/latest HTTP/1.1\r\nContent-Type: " MANIFEST_TYPE "\r\nContent-Length: %zu\r\n",
                 image->repository, len);
    wire_send(wire, image->manifest, len);
    wire_expect(wire, &reply, 201, "the PUT of a manifest");
}

static double push_image(struct image *image, struct pusher *pushers, unsigned parallel)
{
    double begin = wire_now();
    for (unsigned i = 0; i < parallel; i++) {
        if (pthread_create(&pushers[i].thread, NULL, push_layers, &pushers[i]) != 0)
            wire_die("cannot start a thread");
    }
    for (unsigned i = 0; i < parallel; i++)
        pthread_join(pushers[i].thread, NULL);
    push_blob(&pushers[0].wire, image->repository, &image->config);
    push_manifest(&pushers[0].wire, image);
    return wire_now() - begin;
}

static void prepare(struct image *image, size_t layer_size)
{
    image->layers = calloc(image->count, sizeof *image->layers);
    image->config.data = malloc(TEXT_SIZE);
    if (image->layers == NULL || image->config.data == NULL)
        wire_die("no memory");
    for (unsigned i = 0; i < image->count; i++) {
        image->layers[i] = (struct blob){.data = malloc(layer_size), .len = layer_size};
        if (image->layers[i].data == NULL)
            wire_die("no memory");
    }
}

int main(int argc, char **argv)
{
    if (argc != 7)
        wire_die("usage: images ADDRESS:PORT REPOSITORY IMAGES LAYERS BYTES PARALLEL");
    struct sockaddr_in to = wire_address(argv[1]);
    static struct image image;
    struct pusher pushers[MAX_PARALLEL];
    unsigned parallel = (unsigned)strtoul(argv[6], NULL, 10);
    if (parallel == 0 || parallel > MAX_PARALLEL)
        wire_die("1 to %d layers at once", MAX_PARALLEL);
    image.repository = argv[2];
    image.count = (unsigned)strtoul(argv[4], NULL, 10);
    prepare(&image, strtoul(argv[5], NULL, 10));
    for (unsigned i = 0; i < parallel; i++) {
        pushers[i].image = &image;
        wire_open(&pushers[i].wire, &to);
    }
    for (long i = strtol(argv[3], NULL, 10); i > 0; i--) {
        make_image(&image);
        printf("{\"seconds\": %.6f}\n", push_image(&image, pushers, parallel));
    }
    return 0;
}
