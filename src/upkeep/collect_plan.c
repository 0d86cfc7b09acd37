/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KILLED AT ANY TIME. The parts are appended to while the marking goes on, the head is written when they are whole: a
 * plan without a head, of another length or of before the machine's last start is none. A place that is behind means
 * that lines are worked through again, which finds them gone.
 */
#include "upkeep/collect_plan.h"

#include <stdarg.h>

#include "layout/paths.h"

#define PENDING_MAX (64 * 1024)
#define LINE_MAX 512
#define HEAD_MAX 4096
#define HEAD "roadstead-plan 1"

static const char *const part_names[] = {"manifests", "manifests-1", "manifests-2", "manifests-3", "links", "blobs"};

static const char *file_path(const struct rs_plan *plan, const char *name, struct rs_path *path)
{
    char file[64];
    snprintf(file, sizeof file, "%splan%s%s", plan->dry_run ? "dry-" : "", name[0] != '\0' ? "-" : "", name);
    return rs_path_collector(path, rs_str_c(file));
}

void rs_plan_init(struct rs_plan *plan, struct rs_storage *storage, bool dry_run)
{
    *plan = (struct rs_plan){.storage = storage, .dry_run = dry_run};
    for (size_t i = 0; i < RS_PLAN_PARTS; i++)
        rs_buf_init(&plan->pending[i], PENDING_MAX);
}

void rs_plan_release(struct rs_plan *plan)
{
    for (size_t i = 0; i < RS_PLAN_PARTS; i++) {
        rs_storage_append_close(&plan->files[i]);
        rs_buf_release(&plan->pending[i]);
    }
}

rs_rc rs_plan_remove(struct rs_plan *plan, struct rs_err *err)
{
    struct rs_path path;
    for (size_t i = 0; i < RS_PLAN_PARTS; i++)
        rs_storage_append_close(&plan->files[i]);
    /* The head first: without it the others count for nothing. */
    RS_TRY(rs_storage_remove(plan->storage, file_path(plan, "", &path), NULL, err));
    for (size_t i = 0; i < RS_PLAN_PARTS; i++)
        RS_TRY(rs_storage_remove(plan->storage, file_path(plan, part_names[i], &path), NULL, err));
    return rs_storage_remove(plan->storage, file_path(plan, "place", &path), NULL, err);
}

/* --- writing --- */

rs_rc rs_plan_begin(struct rs_plan *plan, struct rs_err *err)
{
    struct rs_path path;
    uint64_t size;
    RS_TRY(rs_plan_remove(plan, err));
    for (size_t i = 0; i < RS_PLAN_PARTS; i++) {
        rs_buf_clear(&plan->pending[i]);
        file_path(plan, part_names[i], &path);
        RS_TRY(rs_storage_append_create(plan->storage, path.z, err));
        RS_TRY(rs_storage_append_open(plan->storage, path.z, &plan->files[i], &size, err));
    }
    return RS_OK;
}

static rs_rc flush(struct rs_plan *plan, enum rs_plan_part part, struct rs_err *err)
{
    struct rs_buf *pending = &plan->pending[part];
    if (pending->len == 0)
        return RS_OK;
    RS_TRY(rs_storage_append(plan->files[part], pending->ptr, pending->len, err));
    plan->head.lengths[part] += pending->len;
    rs_buf_clear(pending);
    return RS_OK;
}

static void format(const struct rs_plan_line *line, struct rs_buf *out)
{
    if (line->is_pulled)
        rs_buf_printf(out, "pulled " RS_STR_FMT " %s\n", RS_STR_ARG(line->repository), line->digest.text);
    else if (line->kind == RS_REMOVE_LINK)
        rs_buf_printf(out, "link " RS_STR_FMT " %s\n", RS_STR_ARG(line->repository), line->digest.text);
    else if (line->kind == RS_REMOVE_MANIFEST)
        rs_buf_printf(out, "manifest %u " RS_STR_FMT " %s\n", line->wave, RS_STR_ARG(line->repository),
                      line->digest.text);
    else
        rs_buf_printf(out, "blob %s %llu\n", line->digest.text, (unsigned long long)line->size);
}

static enum rs_plan_part part_of(const struct rs_plan_line *line)
{
    if (line->is_pulled || line->kind == RS_REMOVE_LINK)
        return RS_PLAN_LINKS;
    if (line->kind == RS_REMOVE_BLOB)
        return RS_PLAN_BLOBS;
    return (enum rs_plan_part)(RS_PLAN_MANIFESTS + RS_MIN(line->wave, RS_PLAN_WAVES - 1));
}

rs_rc rs_plan_add(struct rs_plan *plan, const struct rs_plan_line *line, struct rs_err *err)
{
    enum rs_plan_part part = part_of(line);
    if (plan->pending[part].len + LINE_MAX > PENDING_MAX)
        RS_TRY(flush(plan, part, err));
    format(line, &plan->pending[part]);
    if (!line->is_pulled)
        plan->head.eligible[line->kind]++;
    plan->head.eligible_bytes += line->is_pulled ? 0 : line->size;
    return RS_OK;
}

/* --- the head --- */

struct number {
    const char *name;
    uint64_t *value;
};

/* What stands in it, in this order. */
#define NUMBERS 17
static void list_numbers(struct rs_plan_head *h, uint64_t extra[4], struct number out[NUMBERS])
{
    const struct number list[NUMBERS] = {
        {"began", &extra[0]},
        {"before", &extra[1]},
        {"grace", &extra[2]},
        {"delete_untagged", &extra[3]},
        {"repositories", &h->repositories},
        {"read", &h->manifests},
        {"marked", &h->marked},
        {"manifests", &h->eligible[RS_REMOVE_MANIFEST]},
        {"links", &h->eligible[RS_REMOVE_LINK]},
        {"blobs", &h->eligible[RS_REMOVE_BLOB]},
        {"bytes", &h->eligible_bytes},
        {"length_of_manifests", &h->lengths[RS_PLAN_MANIFESTS]},
        {"length_of_manifests_1", &h->lengths[RS_PLAN_MANIFESTS + 1]},
        {"length_of_manifests_2", &h->lengths[RS_PLAN_MANIFESTS + 2]},
        {"length_of_manifests_3", &h->lengths[RS_PLAN_MANIFESTS + 3]},
        {"length_of_links", &h->lengths[RS_PLAN_LINKS]},
        {"length_of_blobs", &h->lengths[RS_PLAN_BLOBS]},
    };
    memcpy(out, list, sizeof list);
}

rs_rc rs_plan_end(struct rs_plan *plan, struct rs_err *err)
{
    struct rs_path path;
    struct number numbers[NUMBERS];
    struct rs_plan_head *h = &plan->head;
    uint64_t extra[4] = {(uint64_t)h->began_s, (uint64_t)h->before_s, (uint64_t)h->grace_s, h->delete_untagged};
    RS_AUTO(rs_buf_release) struct rs_buf text;
    rs_buf_init(&text, HEAD_MAX);
    for (size_t i = 0; i < RS_PLAN_PARTS; i++)
        RS_TRY(flush(plan, (enum rs_plan_part)i, err));
    list_numbers(h, extra, numbers);
    rs_buf_add_c(&text, HEAD "\n");
    for (size_t i = 0; i < NUMBERS; i++)
        rs_buf_printf(&text, "%s %llu\n", numbers[i].name, (unsigned long long)*numbers[i].value);
    return rs_storage_put(plan->storage, file_path(plan, "", &path), rs_buf_str(&text), NULL, err);
}

/* False: it is not of this version. */
static bool parse_head(rs_str text, struct rs_plan_head *out)
{
    rs_str line, name, value;
    struct number numbers[NUMBERS];
    uint64_t extra[4] = {0};
    list_numbers(out, extra, numbers);
    rs_str_cut(text, '\n', &line, &text);
    bool good = rs_str_eq_c(line, HEAD);
    for (size_t i = 0; i < NUMBERS && good; i++) {
        rs_str_cut(text, '\n', &line, &text);
        good = rs_str_cut(line, ' ', &name, &value) && rs_str_eq_c(name, numbers[i].name) &&
               rs_str_u64(value, INT64_MAX, numbers[i].value);
    }
    out->began_s = (int64_t)extra[0];
    out->before_s = (int64_t)extra[1];
    out->grace_s = (int64_t)extra[2];
    out->delete_untagged = extra[3] != 0;
    return good && text.len == 0;
}

static rs_rc read_head(struct rs_plan *plan, struct rs_err *err)
{
    struct rs_path path;
    RS_AUTO(rs_buf_release) struct rs_buf text;
    rs_buf_init(&text, HEAD_MAX);
    RS_TRY(rs_storage_read(plan->storage, file_path(plan, "", &path), &text, err));
    if (!parse_head(rs_buf_str(&text), &plan->head))
        return rs_err_set(err, RS_E_NOT_FOUND, "%s is no plan of this version", path.z);
    return RS_OK;
}

/* --- going on --- */

static rs_rc open_part(struct rs_plan *plan, enum rs_plan_part part, struct rs_err *err)
{
    struct rs_path path;
    uint64_t size;
    file_path(plan, part_names[part], &path);
    RS_TRY(rs_storage_append_open(plan->storage, path.z, &plan->files[part], &size, err));
    if (size != plan->head.lengths[part] || !rs_storage_append_trusted(plan->files[part]))
        return rs_err_set(err, RS_E_NOT_FOUND, "%s is not whole", path.z);
    return RS_OK;
}

/* "<began> <part> <offset>"; a place of another plan is none. */
static bool parse_place(const struct rs_plan *plan, rs_str text, struct rs_plan_place *out)
{
    rs_str began, part, offset;
    uint64_t of_began, of_part;
    if (!rs_str_cut(text, ' ', &began, &text) || !rs_str_cut(text, ' ', &part, &offset))
        return false;
    if (!rs_str_u64(began, INT64_MAX, &of_began) || !rs_str_u64(part, RS_PLAN_PARTS, &of_part) ||
        !rs_str_u64(offset, INT64_MAX, &out->offset))
        return false;
    out->part = (unsigned)of_part;
    return of_began == (uint64_t)plan->head.began_s &&
           (of_part == RS_PLAN_PARTS || out->offset <= plan->head.lengths[of_part]);
}

rs_rc rs_plan_open(struct rs_plan *plan, struct rs_plan_place *out, struct rs_err *err)
{
    struct rs_path path;
    RS_AUTO(rs_buf_release) struct rs_buf text;
    rs_buf_init(&text, HEAD_MAX);
    RS_TRY(read_head(plan, err));
    for (size_t i = 0; i < RS_PLAN_PARTS; i++)
        RS_TRY(open_part(plan, (enum rs_plan_part)i, err));
    rs_rc rc = rs_storage_read(plan->storage, file_path(plan, "place", &path), &text, err);
    if (rc != RS_OK && rc != RS_E_NOT_FOUND)
        return rc;
    if (!parse_place(plan, rs_buf_str(&text), out))
        *out = (struct rs_plan_place){0};
    return RS_OK;
}

rs_rc rs_plan_keep_place(struct rs_plan *plan, const struct rs_plan_place *place, struct rs_err *err)
{
    struct rs_path path;
    char text[80];
    snprintf(text, sizeof text, "%lld %u %llu", (long long)plan->head.began_s, place->part,
             (unsigned long long)place->offset);
    return rs_storage_put(plan->storage, file_path(plan, "place", &path), rs_str_c(text), NULL, err);
}

static bool parse_digest(rs_str text, struct rs_digest *out)
{
    return rs_digest_parse(text, out, NULL) == RS_OK;
}

static bool parse_line(rs_str text, struct rs_arena *arena, struct rs_plan_line *out)
{
    rs_str word, wave, repository;
    uint64_t number;
    *out = (struct rs_plan_line){0};
    rs_str_cut(text, ' ', &word, &text);
    if (rs_str_eq_c(word, "blob")) {
        out->kind = RS_REMOVE_BLOB;
        return rs_str_cut(text, ' ', &word, &text) && parse_digest(word, &out->digest) &&
               rs_str_u64(text, INT64_MAX, &out->size);
    }
    out->kind = rs_str_eq_c(word, "link") ? RS_REMOVE_LINK : RS_REMOVE_MANIFEST;
    out->is_pulled = rs_str_eq_c(word, "pulled");
    if (rs_str_eq_c(word, "manifest")) {
        if (!rs_str_cut(text, ' ', &wave, &text) || !rs_str_u64(wave, UINT32_MAX, &number))
            return false;
        out->wave = (unsigned)number;
    } else if (out->kind != RS_REMOVE_LINK && !out->is_pulled) {
        return false;
    }
    if (!rs_str_cut(text, ' ', &repository, &text) || rs_name_check(repository, NULL) != RS_OK)
        return false;
    out->repository = rs_arena_copy(arena, repository);
    return parse_digest(text, &out->digest);
}

/* Reads a piece at a time and keeps it in `pending`, which is empty of lines to write by now. */
static rs_rc fill(struct rs_plan *plan, const struct rs_plan_place *place, struct rs_err *err)
{
    struct rs_buf *piece = &plan->pending[place->part];
    size_t n;
    rs_buf_clear(piece);
    char *room = rs_buf_reserve(piece, PENDING_MAX);
    RS_TRY(rs_storage_append_read(plan->files[place->part], place->offset, room, PENDING_MAX, &n, err));
    piece->len = n;
    plan->piece_at[place->part] = place->offset;
    return RS_OK;
}

/* The line at the place, if all of it has been read already. */
static bool cut_line(const struct rs_plan *plan, const struct rs_plan_place *place, rs_str *out)
{
    rs_str piece = rs_buf_str(&plan->pending[place->part]), rest;
    uint64_t at = plan->piece_at[place->part];
    if (place->offset < at || place->offset - at >= piece.len)
        return false;
    size_t skip = (size_t)(place->offset - at);
    return rs_str_cut((rs_str){piece.ptr + skip, piece.len - skip}, '\n', out, &rest);
}

bool rs_plan_at_end(const struct rs_plan *plan, const struct rs_plan_place *place)
{
    return place->part >= RS_PLAN_PARTS || place->offset >= plan->head.lengths[place->part];
}

rs_rc rs_plan_read(struct rs_plan *plan, struct rs_plan_place *place, struct rs_arena *arena, struct rs_plan_line *out,
                   struct rs_err *err)
{
    rs_str line;
    if (!cut_line(plan, place, &line)) {
        RS_TRY(fill(plan, place, err));
        if (!cut_line(plan, place, &line))
            return rs_err_set(err, RS_E_CORRUPT, "the plan of the collection breaks off at byte %llu",
                              (unsigned long long)place->offset);
    }
    if (!parse_line(line, arena, out))
        return rs_err_set(err, RS_E_CORRUPT, "the plan of the collection is damaged at byte %llu",
                          (unsigned long long)place->offset);
    place->offset += line.len + 1;
    return RS_OK;
}
