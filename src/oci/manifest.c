/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document is a stranger's: json.h limits what jansson sees of it. After that, what not everybody understands alike
 * is refused: members twice, in another case (Go's decoder takes "Layers" for "layers"), of two kinds at once.
 */
#include "oci/manifest.h"

#include <stdarg.h>

#include "oci/json.h"

struct media {
    const char *name;
    enum rs_manifest_kind kind;
    bool docker; /* Docker demands mediaType in the document, and has no subject */
};

static const struct media media_types[] = {
    {RS_MEDIA_OCI_MANIFEST, RS_MANIFEST_IMAGE, false},    {RS_MEDIA_OCI_INDEX, RS_MANIFEST_INDEX, false},
    {RS_MEDIA_DOCKER_MANIFEST, RS_MANIFEST_IMAGE, true},  {RS_MEDIA_DOCKER_LIST, RS_MANIFEST_INDEX, true},
    {RS_MEDIA_DOCKER_SCHEMA1, RS_MANIFEST_SCHEMA1, true}, {RS_MEDIA_DOCKER_SCHEMA1_SIGNED, RS_MANIFEST_SCHEMA1, true},
};

static const char *const foreign_types[] = {
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
};

static const char *const manifest_keys[] = {"schemaVersion", "mediaType", "artifactType", "config",     "layers",
                                            "manifests",     "subject",   "annotations",  "signatures", NULL};
static const char *const descriptor_keys[] = {"mediaType", "digest",       "size",     "urls", "annotations",
                                              "data",      "artifactType", "platform", NULL};
static const char *const platform_keys[] = {"architecture", "os", NULL};

struct parser {
    struct rs_arena *arena;
    struct rs_err *err;
};

static rs_rc RS_PRINTF(2, 3) invalid(const struct parser *p, const char *fmt, ...)
{
    va_list args;
    char text[RS_ERR_TEXT_MAX];
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return rs_err_set(p->err, RS_E_MANIFEST_INVALID, "%s", text);
}

static void text_free(char **text)
{
    free(*text);
    *text = NULL;
}

/* --- the document --- */

/* flags: jansson's. */
static rs_rc load(const struct parser *p, rs_str bytes, size_t flags, json_t **out)
{
    json_error_t error;
    if (bytes.len > RS_MANIFEST_MAX)
        return rs_err_set(p->err, RS_E_MANIFEST_TOO_BIG, "the manifest has %zu bytes; %d are allowed", bytes.len,
                          RS_MANIFEST_MAX);
    struct rs_err why;
    if (rs_json_check(bytes, &why) != RS_OK)
        return invalid(p, "%s", why.text);
    json_t *root = json_loadb(bytes.len == 0 ? "" : bytes.ptr, bytes.len, flags, &error);
    if (root == NULL)
        return invalid(p, "line %d, column %d: %s", error.line, error.column, error.text);
    *out = root;
    if (!json_is_object(root))
        return invalid(p, "the manifest is not a JSON object");
    return RS_OK;
}

static rs_rc check_keys(const struct parser *p, const char *where, json_t *object, const char *const *names)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        for (const char *const *name = names; *name != NULL; name++) {
            if (strcmp(key, *name) != 0 && rs_json_folds_to(key, *name))
                return invalid(p, "%s: \"%s\" must be written \"%s\"", where, key, *name);
        }
    }
    return RS_OK;
}

/* A member; null counts as none, as everywhere in these formats, whose writers are mostly in Go. */
static json_t *member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static rs_str string_of(const json_t *string)
{
    return (rs_str){json_string_value(string), json_string_length(string)};
}

/* An optional string; the empty one if it is not there. */
static rs_rc get_string(const struct parser *p, const char *where, const json_t *object, const char *key, rs_str *out)
{
    const json_t *value = member(object, key);
    if (value != NULL && !json_is_string(value))
        return invalid(p, "%s: %s is not a string", where, key);
    *out = value == NULL ? (rs_str){NULL, 0} : rs_arena_copy(p->arena, string_of(value));
    return RS_OK;
}

static rs_rc check_annotations(const struct parser *p, const char *where, const json_t *object)
{
    json_t *annotations = member(object, "annotations");
    const char *key;
    json_t *value;
    if (annotations == NULL)
        return RS_OK;
    if (!json_is_object(annotations))
        return invalid(p, "%s: annotations is not an object", where);
    json_object_foreach(annotations, key, value)
    {
        if (!json_is_string(value))
            return invalid(p, "%s: the annotation \"%.100s\" is not a string", where, key);
    }
    return RS_OK;
}

/* --- descriptors (image-spec, descriptor.md) --- */

/* They were checked: all are strings. */
static rs_str dump_annotations(const struct parser *p, const json_t *object)
{
    const json_t *annotations = member(object, "annotations");
    RS_AUTO(text_free) char *text = json_object_size(annotations) > 0 ? json_dumps(annotations, JSON_COMPACT) : NULL;
    return text != NULL ? rs_arena_copy(p->arena, rs_str_c(text)) : (rs_str){NULL, 0};
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = memchr(digits, c, sizeof digits - 1);
    return at == NULL ? -1 : (int)(at - digits);
}

/* RFC 4648 4, padded, in one line. */
static bool decode_base64(struct rs_arena *arena, rs_str text, rs_str *out)
{
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
        padding++;
    if (text.len % 4 != 0)
        return false;
    size_t len = text.len / 4 * 3 - padding;
    uint8_t *bytes = rs_arena_alloc(arena, len + 3);
    uint32_t bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = i < text.len - padding ? base64_value(text.ptr[i]) : 0;
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        for (int k = 0; i % 4 == 3 && k < 3; k++)
            bytes[i / 4 * 3 + (size_t)k] = (uint8_t)(bits >> (16 - 8 * k));
    }
    *out = (rs_str){(char *)bytes, len};
    return true;
}

/* Docker's must say where they are fetched from; OCI's "SHOULD NOT" be uploaded, and may leave that to agreement. */
static bool is_foreign(rs_str media_type, size_t url_count)
{
    for (size_t i = 0; i < RS_COUNT(foreign_types); i++) {
        if (rs_str_eq_c(media_type, foreign_types[i]))
            return url_count > 0 || !rs_str_starts(media_type, RS_STR("application/vnd.docker."));
    }
    return false;
}

static rs_rc parse_urls(const struct parser *p, const char *where, const json_t *object, struct rs_descriptor *d)
{
    const json_t *array = member(object, "urls");
    if (array == NULL)
        return RS_OK;
    if (!json_is_array(array))
        return invalid(p, "%s: urls is not an array", where);
    size_t count = json_array_size(array);
    rs_str *urls = rs_arena_alloc(p->arena, count * sizeof *urls);
    for (size_t i = 0; i < count; i++) {
        const json_t *url = json_array_get(array, i);
        if (!json_is_string(url))
            return invalid(p, "%s: urls[%zu] is not a string", where, i);
        urls[i] = rs_arena_copy(p->arena, string_of(url));
    }
    d->urls = urls;
    d->url_count = count;
    return RS_OK;
}

static rs_rc parse_digest(const struct parser *p, const char *where, const json_t *object, struct rs_digest *out)
{
    struct rs_err why;
    const json_t *value = member(object, "digest");
    if (!json_is_string(value))
        return invalid(p, "%s: digest is missing or not a string", where);
    if (rs_digest_parse(string_of(value), out, &why) != RS_OK)
        return invalid(p, "%s: digest: %s", where, why.text);
    return RS_OK;
}

static rs_rc parse_platform(const struct parser *p, const char *where, const json_t *object, struct rs_descriptor *d)
{
    json_t *platform = member(object, "platform");
    if (platform == NULL)
        return RS_OK;
    if (!json_is_object(platform))
        return invalid(p, "%s: platform is not an object", where);
    RS_TRY(check_keys(p, where, platform, platform_keys));
    RS_TRY(get_string(p, where, platform, "os", &d->os));
    return get_string(p, where, platform, "architecture", &d->architecture);
}

/* Embedded content "MUST be identical to the referenced content": who reads it must not get other bytes than who
 * fetches them. An empty text is none, as writers in Go leave it out. */
static rs_rc check_data(const struct parser *p, const char *where, const json_t *object, const struct rs_descriptor *d)
{
    rs_str bytes;
    struct rs_digest found;
    const json_t *data = member(object, "data");
    if (data == NULL || (json_is_string(data) && json_string_length(data) == 0))
        return RS_OK;
    if (!json_is_string(data) || !decode_base64(p->arena, string_of(data), &bytes))
        return invalid(p, "%s: data is not base64", where);
    rs_digest_of(d->digest.alg, bytes.ptr, bytes.len, &found);
    if (bytes.len != d->size || !rs_digest_eq(&found, &d->digest))
        return invalid(p, "%s: data holds %zu bytes with the digest %s, not what size and digest say", where, bytes.len,
                       found.text);
    return RS_OK;
}

static rs_rc parse_descriptor(const struct parser *p, const char *where, json_t *object, enum rs_descriptor_role role,
                              struct rs_descriptor *out)
{
    struct rs_descriptor d = {.role = role};
    if (!json_is_object(object))
        return invalid(p, "%s is not an object", where);
    RS_TRY(check_keys(p, where, object, descriptor_keys));
    RS_TRY(get_string(p, where, object, "mediaType", &d.media_type));
    RS_TRY(parse_digest(p, where, object, &d.digest));
    const json_t *size = member(object, "size");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return invalid(p, "%s: size must be an integer that is not negative", where);
    d.size = (uint64_t)json_integer_value(size);
    RS_TRY(parse_urls(p, where, object, &d));
    RS_TRY(check_annotations(p, where, object));
    d.annotations = dump_annotations(p, object);
    RS_TRY(check_data(p, where, object, &d));
    if (role == RS_ROLE_MANIFEST)
        RS_TRY(parse_platform(p, where, object, &d));
    d.foreign = role == RS_ROLE_LAYER && is_foreign(d.media_type, d.url_count);
    *out = d;
    return RS_OK;
}

/* Appends the descriptors of an array, which may be missing, at *count. */
static rs_rc parse_array(const struct parser *p, const char *key, const json_t *array, enum rs_descriptor_role role,
                         struct rs_descriptor *out, size_t *count)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        char where[64];
        snprintf(where, sizeof where, "%s[%zu]", key, i);
        RS_TRY(parse_descriptor(p, where, json_array_get(array, i), role, &out[*count]));
        ++*count;
    }
    return RS_OK;
}

/* --- which kind it is --- */

static const struct media *find_media(rs_str name)
{
    for (size_t i = 0; i < RS_COUNT(media_types); i++) {
        if (rs_str_eq_nocase(name, rs_str_c(media_types[i].name)))
            return &media_types[i];
    }
    return NULL;
}

static rs_rc unknown_type(const struct parser *p, const char *where, rs_str name)
{
    return invalid(p,
                   "%s: \"" RS_STR_FMT "\" is not a type of manifest that is known here: " RS_MEDIA_OCI_MANIFEST
                   ", " RS_MEDIA_OCI_INDEX ", " RS_MEDIA_DOCKER_MANIFEST ", " RS_MEDIA_DOCKER_LIST,
                   where, RS_STR_ARG(rs_str_sub(name, 0, 100)));
}

/* No type was given: the shape decides. Docker's types cannot be meant, they demand mediaType. */
static rs_rc media_of_shape(const struct parser *p, const json_t *root, const struct media **out)
{
    const char *name = NULL;
    if (json_integer_value(member(root, "schemaVersion")) == 1)
        name = member(root, "signatures") != NULL ? RS_MEDIA_DOCKER_SCHEMA1_SIGNED : RS_MEDIA_DOCKER_SCHEMA1;
    else if (json_object_get(root, "manifests") != NULL)
        name = RS_MEDIA_OCI_INDEX;
    else if (json_object_get(root, "config") != NULL || json_object_get(root, "layers") != NULL)
        name = RS_MEDIA_OCI_MANIFEST;
    if (name == NULL)
        return invalid(p, "the manifest has neither mediaType nor config, layers or manifests: its type is unknown");
    *out = find_media(rs_str_c(name));
    return RS_OK;
}

/* What the request says; NULL if it says nothing of use. */
static rs_rc media_of_content_type(const struct parser *p, rs_str content_type, const struct media **out)
{
    rs_str essence;
    rs_str parameters;
    rs_str_cut(content_type, ';', &essence, &parameters);
    essence = rs_str_trim(essence);
    *out = find_media(essence);
    if (*out == NULL && essence.len > 0 && !rs_str_eq_nocase(essence, RS_STR("application/json")))
        return unknown_type(p, "Content-Type", essence);
    return RS_OK;
}

static rs_rc find_type(const struct parser *p, const json_t *root, rs_str content_type, const struct media **out)
{
    rs_str name;
    const struct media *header;
    RS_TRY(media_of_content_type(p, content_type, &header));
    RS_TRY(get_string(p, "the manifest", root, "mediaType", &name));
    const struct media *inner = find_media(name);
    if (name.len > 0 && inner == NULL)
        return unknown_type(p, "mediaType", name);
    if (header != NULL && inner != NULL && header != inner)
        return invalid(p, "Content-Type says %s, but the manifest's mediaType is %s", header->name, inner->name);
    *out = inner != NULL ? inner : header;
    if (*out == NULL)
        return media_of_shape(p, root, out);
    if (inner == NULL && (*out)->docker && (*out)->kind != RS_MANIFEST_SCHEMA1)
        return invalid(p, "a manifest of the type %s must have it as its mediaType", (*out)->name);
    return RS_OK;
}

/* schemaVersion, and the members that only the other kind may have (CVE-2021-41190). */
static rs_rc check_shape(const struct parser *p, const json_t *root, const struct media *media)
{
    const json_t *version = member(root, "schemaVersion");
    json_int_t want = media->kind == RS_MANIFEST_SCHEMA1 ? 1 : 2;
    if (!json_is_integer(version) || json_integer_value(version) != want)
        return invalid(p, "schemaVersion must be %d in a manifest of the type %s", (int)want, media->name);
    bool index = json_object_get(root, "manifests") != NULL;
    bool image = json_object_get(root, "config") != NULL || json_object_get(root, "layers") != NULL;
    if (index && image)
        return invalid(p, "the manifest has both manifests and config or layers: it must be an index or an image");
    if (media->kind == RS_MANIFEST_IMAGE && index)
        return invalid(p, "a manifest of the type %s must not have manifests", media->name);
    if (media->kind == RS_MANIFEST_INDEX && image)
        return invalid(p, "a manifest of the type %s must not have config or layers", media->name);
    return RS_OK;
}

/* --- the kinds --- */

static rs_rc get_array(const struct parser *p, const json_t *root, const char *key, json_t **out)
{
    *out = member(root, key);
    if (*out != NULL && !json_is_array(*out))
        return invalid(p, "%s is not an array", key);
    return RS_OK;
}

static rs_rc parse_image(const struct parser *p, json_t *root, struct rs_manifest *m)
{
    json_t *layers;
    json_t *config = member(root, "config");
    if (config == NULL)
        return invalid(p, "config is missing");
    RS_TRY(get_array(p, root, "layers", &layers));
    struct rs_descriptor *list = rs_arena_alloc(p->arena, (1 + json_array_size(layers)) * sizeof *list);
    RS_TRY(parse_descriptor(p, "config", config, RS_ROLE_CONFIG, list));
    m->descriptor_count = 1;
    m->descriptors = list;
    if (m->artifact_type.len == 0)
        m->artifact_type = list->media_type;
    return parse_array(p, "layers", layers, RS_ROLE_LAYER, list, &m->descriptor_count);
}

static rs_rc parse_index(const struct parser *p, json_t *root, struct rs_manifest *m)
{
    json_t *manifests;
    if (json_object_get(root, "manifests") == NULL)
        return invalid(p, "manifests is missing");
    RS_TRY(get_array(p, root, "manifests", &manifests));
    struct rs_descriptor *list = rs_arena_alloc(p->arena, json_array_size(manifests) * sizeof *list);
    m->descriptors = list;
    return parse_array(p, "manifests", manifests, RS_ROLE_MANIFEST, list, &m->descriptor_count);
}

static rs_rc parse_content(const struct parser *p, json_t *root, const struct media *media, struct rs_manifest *m)
{
    RS_TRY(get_string(p, "the manifest", root, "artifactType", &m->artifact_type));
    RS_TRY(check_annotations(p, "the manifest", root));
    json_t *subject = member(root, "subject");
    if (subject != NULL && !media->docker) {
        RS_TRY(parse_descriptor(p, "subject", subject, RS_ROLE_SUBJECT, &m->subject));
        m->has_subject = true;
    }
    return media->kind == RS_MANIFEST_IMAGE ? parse_image(p, root, m) : parse_index(p, root, m);
}

rs_rc rs_manifest_parse(rs_str bytes, rs_str content_type, struct rs_arena *arena, struct rs_manifest *out,
                        struct rs_err *err)
{
    RS_AUTO(rs_json_free) json_t *root = NULL;
    const struct parser p = {arena, err};
    const struct media *media = NULL;
    RS_TRY(load(&p, bytes, JSON_REJECT_DUPLICATES, &root));
    RS_TRY(check_keys(&p, "the manifest", root, manifest_keys));
    RS_TRY(find_type(&p, root, content_type, &media));
    RS_TRY(check_shape(&p, root, media));
    struct rs_manifest m = {.kind = media->kind, .media_type = rs_str_c(media->name)};
    if (media->kind != RS_MANIFEST_SCHEMA1)
        RS_TRY(parse_content(&p, root, media, &m));
    *out = m;
    return RS_OK;
}

/* --- what refers to another --- */

static rs_str text_of(const struct parser *p, const json_t *object, const char *key)
{
    const json_t *value = json_is_object(object) ? member(object, key) : NULL;
    return json_is_string(value) ? rs_arena_copy(p->arena, string_of(value)) : (rs_str){NULL, 0};
}

/* NULL: it is of a type that has no subject. Who left out mediaType meant one of OCI's. */
static const char *referrer_type(const json_t *root)
{
    const json_t *type = member(root, "mediaType");
    if (json_string_length(type) == 0 && json_is_string(type))
        type = NULL;
    bool index = json_object_get(root, "manifests") != NULL;
    if (type == NULL && json_integer_value(member(root, "schemaVersion")) != 1)
        return index ? RS_MEDIA_OCI_INDEX : RS_MEDIA_OCI_MANIFEST;
    const struct media *media = json_is_string(type) ? find_media(string_of(type)) : NULL;
    return media != NULL && !media->docker ? media->name : NULL;
}

/* The members that are strings: clients decode a map of strings, and would drop the whole list for another. */
static rs_str annotations_of(const struct parser *p, const json_t *root)
{
    RS_AUTO(rs_json_free) json_t *strings = json_object();
    json_t *annotations = member(root, "annotations");
    const char *key;
    json_t *value;
    json_object_foreach(annotations, key, value)
    {
        if (json_is_string(value))
            json_object_set(strings, key, value);
    }
    RS_AUTO(text_free) char *text = json_object_size(strings) > 0 ? json_dumps(strings, JSON_COMPACT) : NULL;
    return text != NULL ? rs_arena_copy(p->arena, rs_str_c(text)) : (rs_str){NULL, 0};
}

bool rs_manifest_referrer(rs_str bytes, struct rs_arena *arena, struct rs_referrer *out)
{
    RS_AUTO(rs_json_free) json_t *root = NULL;
    const struct parser p = {arena, NULL};
    struct rs_referrer r = {0};
    if (load(&p, bytes, 0, &root) != RS_OK)
        return false;
    const char *type = referrer_type(root);
    json_t *subject = member(root, "subject");
    if (type == NULL || !json_is_object(subject) || parse_digest(&p, "subject", subject, &r.subject) != RS_OK)
        return false;
    r.media_type = rs_str_c(type);
    r.artifact_type = text_of(&p, root, "artifactType");
    if (r.artifact_type.len == 0 && rs_str_eq_c(r.media_type, RS_MEDIA_OCI_MANIFEST))
        r.artifact_type = text_of(&p, member(root, "config"), "mediaType");
    r.annotations = annotations_of(&p, root);
    *out = r;
    return true;
}

const char *rs_descriptor_role_name(enum rs_descriptor_role role)
{
    static const char *const names[] = {
        [RS_ROLE_CONFIG] = "config",
        [RS_ROLE_LAYER] = "layer",
        [RS_ROLE_MANIFEST] = "manifest",
        [RS_ROLE_SUBJECT] = "subject",
    };
    return names[role];
}
