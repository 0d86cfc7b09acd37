/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NOTED: how the referrers of a subject are found without reading every manifest.
 *
 * A manifest's note (referrers_note.h) follows from its bytes alone. So a note is never stale: not when another process
 * removes the manifest, nor when one of another program pushes it again. Whether the manifest is in the repository is
 * looked at when it is listed, and nowhere else. What may be lost are notes, and that costs reading.
 *
 * The directory of revisions is read through rs_children, which notices what anybody changes there. Names without a
 * note are looked for in three places, from the cheap to the dear: what this process has accepted a moment ago, the
 * file of notes on storage, and the manifest itself. Enough new notes are written to that file: whole, under a
 * temporary name and unsynced, with a checksum, so that a crash or two writers cost knowledge and never make it wrong.
 * A storage that cannot be written is no error: then the notes live with the process.
 *
 * A manifest that cannot be read now (the collector of a registry:2 has taken its bytes and left the directory) stays
 * without a note, "open". These are few, mostly, and are tried again each time; where they are many, at intervals,
 * since the directory above does not show when a registry:2 puts one back.
 *
 * One thread at a time makes the index of a directory; others wait for it, for WAIT_MS at most (each keeps a worker).
 * The lock guards the slots; nothing is read, waited for elsewhere, or freed under it. An index is immutable but for
 * the time of the last look at what is open, which is atomic.
 */
#include "registry/referrers_index.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "layout/paths.h"
#include "registry/children.h"
#include "registry/registry_priv.h"

#define SLOTS 128
#define ENTRIES_MAX ((size_t)32 * 1024 * 1024) /* bytes of the entries of all that is kept */
#define WAIT_MS 60000
#define WAITERS_FEW 32 /* who comes when so many wait keeps a worker for a shorter time */
#define WAIT_SHORT_MS 5000
#define OPEN_MAX ((size_t)256 * 1024 * 1024) /* bytes of their places */
#define OPEN_FEW 64                          /* so many are tried each time */
#define OPEN_MS 1000                         /* more: not oftener than this, */
#define OPEN_SHARE 20                        /* nor so often that it takes more than this part of the time */
#define LOAD_FROM 32                         /* names without a note for which the file is read */
#define SAVE_FROM 64                         /* new notes for which it is written, and … */
#define SAVE_SHARE 16                        /* … this part of all */
#define SAVE_ON_THE_WAY 8192                 /* manifests read, lest a crash lose all of a long reading */

struct entry {
    uint64_t subject; /* rs_note_subject */
    uint64_t note;
    size_t place;
};

struct rs_referrers_index {
    atomic_uint refs;
    enum rs_hash_alg alg;
    uint64_t call; /* the number of the call that has made it */
    struct rs_children *reading;
    struct entry *entries; /* of those with a subject, by subject and place; NULL: too many, look through the notes */
    size_t entry_count;
    size_t *open; /* places */
    size_t open_count;
    size_t unsaved;                  /* notes that the file does not have */
    atomic_int_fast64_t due_ms;      /* when to try again what is open */
    struct rs_referrers_index *next; /* of those that were displaced and are to be released */
};

struct slot {
    char *path; /* NULL: never used */
    unsigned waiting;
    bool busy;       /* somebody makes its index */
    unsigned pushes; /* by this process; only whether it changes is of interest */
    struct rs_referrers_index *index;
};

struct rs_referrers_cache {
    struct rs_mutex lock;
    pthread_cond_t done; /* somebody has made an index */
    size_t entries;      /* bytes kept */
    size_t hand;         /* the slot that gives way next */
    uint64_t calls;
    struct slot slots[SLOTS];
};

struct rs_referrers_cache *rs_referrers_cache_new(void)
{
    struct rs_referrers_cache *cache = rs_calloc(1, sizeof *cache);
    rs_mutex_init(&cache->lock, RS_LOCK_REFERRERS);
    rs_cond_init(&cache->done);
    return cache;
}

void rs_referrers_cache_free(struct rs_referrers_cache **cache)
{
    if (*cache == NULL)
        return;
    for (size_t i = 0; i < SLOTS; i++) {
        rs_referrers_index_unref(&(*cache)->slots[i].index);
        free((*cache)->slots[i].path);
    }
    pthread_cond_destroy(&(*cache)->done);
    rs_mutex_release(&(*cache)->lock);
    free(*cache);
    *cache = NULL;
}

/* --- an index --- */

void rs_referrers_index_unref(struct rs_referrers_index **index)
{
    struct rs_referrers_index *x = rs_take(index);
    if (x == NULL || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1)
        return;
    rs_children_unref(&x->reading);
    free(x->entries);
    free(x->open);
    free(x);
}

static struct rs_referrers_index *shared(struct rs_referrers_index *index)
{
    if (index != NULL)
        atomic_fetch_add_explicit(&index->refs, 1, memory_order_relaxed);
    return index;
}

static size_t bytes_of(const struct rs_referrers_index *index)
{
    return index == NULL || index->entries == NULL ? 0 : index->entry_count * sizeof *index->entries;
}

/* The manifest that a child is of; false if it is of none. */
static bool digest_at(const struct rs_referrers_index *index, size_t place, struct rs_digest *out)
{
    uint8_t raw[RS_HASH_MAX];
    if (!rs_children_is_directory(index->reading, place) ||
        !rs_hex_decode(rs_children_name(index->reading, place), raw, rs_hash_size(index->alg)))
        return false;
    rs_digest_from_raw(index->alg, raw, out);
    return true;
}

size_t rs_referrers_index_after(const struct rs_referrers_index *index, rs_str hex)
{
    return rs_children_after(index->reading, hex);
}

/* The first entry of a subject that is not before a place. */
static size_t entry_from(const struct rs_referrers_index *index, uint64_t subject, size_t place)
{
    size_t low = 0, high = index->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct entry *e = &index->entries[middle];
        if (e->subject < subject || (e->subject == subject && e->place < place))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool next_entry(const struct rs_referrers_index *index, const struct rs_note_filter *filter, size_t *place)
{
    uint64_t subject = rs_note_subject(filter->wanted);
    for (size_t i = entry_from(index, subject, *place); i < index->entry_count; i++) {
        const struct entry *e = &index->entries[i];
        if (e->subject != subject)
            return false;
        if ((e->note & filter->mask) == filter->wanted) {
            *place = e->place;
            return true;
        }
    }
    return false;
}

static bool next_note(const struct rs_referrers_index *index, const struct rs_note_filter *filter, size_t *place)
{
    for (size_t i = *place; i < rs_children_count(index->reading); i++) {
        uint64_t note = rs_children_note(index->reading, i); /* it may have been lost: then only reading tells */
        if (note == RS_NOTE_UNKNOWN || (note & filter->mask) == filter->wanted) {
            *place = i;
            return true;
        }
    }
    return false;
}

bool rs_referrers_index_next(const struct rs_referrers_index *index, const struct rs_note_filter *filter, size_t *place,
                             struct rs_digest *out)
{
    bool has_entries = index->entries != NULL;
    while (has_entries ? next_entry(index, filter, place) : next_note(index, filter, place)) {
        if (digest_at(index, *place, out))
            return true;
        ++*place;
    }
    return false;
}

/* --- finding notes out --- */

/* The making of an index. */
struct making {
    struct rs_registry *registry;
    rs_str repository;
    bool read_only;
    bool try_open; /* what is open */
    uint64_t call;
    struct rs_referrers_index *index;
    struct rs_arena *arena;
    struct rs_notes stored;
};

static void making_release(struct making *m)
{
    rs_referrers_index_unref(&m->index);
    rs_notes_release(&m->stored);
    rs_arena_free(&m->arena);
}

static bool holds(rs_str bytes, const char *text)
{
    return memmem(bytes.ptr, bytes.len, text, strlen(text)) != NULL;
}

/* Most manifests have no subject, which shows without parsing them. */
static uint64_t note_of_bytes(struct making *m, rs_str bytes)
{
    struct rs_referrer referrer;
    if (!holds(bytes, "\"subject\"") && !holds(bytes, "\\u"))
        return RS_NOTE_NONE;
    rs_arena_reset(m->arena);
    return rs_manifest_referrer(bytes, m->arena, &referrer) ? rs_note_of(&referrer) : RS_NOTE_NONE;
}

/* Reads the manifest. *out is RS_NOTE_OPEN if it is not there, or is not what it should be. */
static rs_rc examine(struct making *m, const struct rs_digest *digest, uint64_t *out, struct rs_err *err)
{
    struct rs_path path;
    struct rs_digest found;
    RS_AUTO(rs_buf_release) struct rs_buf bytes;
    rs_buf_init(&bytes, RS_MANIFEST_MAX);
    *out = RS_NOTE_OPEN;
    rs_rc rc = rs_storage_read(m->registry->storage, rs_path_blob(&path, digest), &bytes, err);
    if (rc == RS_E_NOT_FOUND || rc == RS_E_TOO_BIG)
        return RS_OK;
    RS_TRY(rc);
    rs_digest_of(digest->alg, bytes.ptr, bytes.len, &found);
    if (rs_digest_eq(&found, digest))
        *out = note_of_bytes(m, rs_buf_str(&bytes));
    return RS_OK;
}

static void load_notes(struct making *m)
{
    struct rs_path path;
    rs_path_referrers(&path, m->repository, m->index->alg);
    rs_buf_init(&m->stored.file, RS_NOTES_MAX);
    if (rs_storage_read(m->registry->storage, path.z, &m->stored.file, NULL) == RS_OK)
        rs_notes_parse(&m->stored);
}

static void save_notes(struct making *m)
{
    struct rs_path path;
    struct rs_digest digest;
    const struct rs_referrers_index *index = m->index;
    RS_AUTO(rs_notes_release) struct rs_notes notes;
    rs_notes_begin(&notes);
    for (size_t i = 0; i < rs_children_count(index->reading) && !notes.file.overflow; i++) {
        uint64_t note = rs_children_note(index->reading, i);
        if (!digest_at(index, i, &digest))
            continue;
        if (note == RS_NOTE_UNKNOWN)
            note = rs_notes_find(&m->stored, &digest);
        if (note != RS_NOTE_UNKNOWN && note != RS_NOTE_OPEN)
            rs_notes_add(&notes, &digest, note);
    }
    rs_str file = rs_notes_end(&notes);
    if (file.len > 0)
        rs_storage_put(m->registry->storage, rs_path_referrers(&path, m->repository, index->alg), file, NULL, NULL);
}

static void save_if_worth_it(struct making *m, size_t least)
{
    if (m->read_only || m->index->unsaved < least)
        return;
    save_notes(m);
    m->index->unsaved = 0; /* also if it failed: it is tried again when as many are new */
}

/* From the cheapest place that knows it. */
static rs_rc find_note(struct making *m, const struct rs_digest *digest, uint64_t *out, struct rs_err *err)
{
    *out = rs_notes_find(&m->stored, digest);
    if (*out != RS_NOTE_UNKNOWN)
        return RS_OK;
    *out = rs_note_table_find(m->registry->pushed, digest);
    if (*out == RS_NOTE_UNKNOWN)
        RS_TRY(examine(m, digest, out, err));
    m->index->unsaved += *out != RS_NOTE_OPEN;
    return RS_OK;
}

/* The note of a child, which is then noted. */
static rs_rc note_child(struct making *m, size_t place, uint64_t *out, struct rs_err *err)
{
    struct rs_digest digest;
    struct rs_referrers_index *index = m->index;
    *out = rs_children_note(index->reading, place);
    if (*out != RS_NOTE_UNKNOWN && (*out != RS_NOTE_OPEN || !m->try_open))
        return RS_OK;
    if (digest_at(index, place, &digest))
        RS_TRY(find_note(m, &digest, out, err));
    else
        *out = RS_NOTE_NONE; /* no manifest's name */
    rs_children_set_note(index->reading, place, *out);
    save_if_worth_it(m, SAVE_ON_THE_WAY + rs_children_count(index->reading) / 4);
    return RS_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->subject != y->subject)
        return x->subject < y->subject ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Those without a subject need no entry. */
static rs_rc collect(struct making *m, struct rs_buf *entries, struct rs_buf *open, struct rs_err *err)
{
    for (size_t i = 0; i < rs_children_count(m->index->reading); i++) {
        struct entry e = {.place = i};
        RS_TRY(note_child(m, i, &e.note, err));
        e.subject = rs_note_subject(e.note);
        if (e.note == RS_NOTE_OPEN)
            rs_buf_append(open, &i, sizeof i);
        else if (e.note != RS_NOTE_NONE)
            rs_buf_append(entries, &e, sizeof e);
    }
    return RS_OK;
}

/* Takes what was collected. Too many entries for the memory that they may take are dropped. */
static void keep(struct rs_referrers_index *index, struct rs_buf *entries, struct rs_buf *open)
{
    if (!entries->overflow) {
        index->entry_count = entries->len / sizeof *index->entries;
        index->entries = index->entry_count > 0 ? (struct entry *)(void *)rs_take(&entries->ptr) : rs_malloc(1);
        qsort(index->entries, index->entry_count, sizeof *index->entries, compare_entries);
    }
    index->open_count = open->len / sizeof *index->open;
    index->open = (size_t *)(void *)rs_take(&open->ptr);
}

static size_t unnoted(const struct rs_children *reading)
{
    size_t n = 0;
    for (size_t i = 0; i < rs_children_count(reading); i++)
        n += rs_children_note(reading, i) == RS_NOTE_UNKNOWN;
    return n;
}

static void set_due(struct rs_referrers_index *index, int64_t began_ms)
{
    int64_t now = rs_mono_ms();
    int64_t pause = index->open_count <= OPEN_FEW ? 0 : RS_MAX(OPEN_MS, OPEN_SHARE * (now - began_ms));
    atomic_store(&index->due_ms, now + pause);
}

static bool is_due(const struct rs_referrers_index *index)
{
    return rs_mono_ms() >= atomic_load(&index->due_ms);
}

/* Takes the reading. `before`: the index of an earlier one, or NULL. */
static rs_rc make(struct making *m, struct rs_children **reading, enum rs_hash_alg alg,
                  const struct rs_referrers_index *before, struct rs_err *err)
{
    int64_t began_ms = rs_mono_ms();
    struct rs_referrers_index *index = rs_calloc(1, sizeof *index);
    atomic_init(&index->refs, 1);
    index->alg = alg;
    index->call = m->call;
    index->reading = rs_take(reading);
    index->unsaved = before != NULL ? before->unsaved : 0;
    m->try_open = before == NULL || is_due(before);
    m->index = index;
    if (m->arena == NULL)
        m->arena = rs_arena_new();
    if (unnoted(index->reading) >= LOAD_FROM)
        load_notes(m);
    RS_AUTO(rs_buf_release) struct rs_buf entries;
    RS_AUTO(rs_buf_release) struct rs_buf open;
    rs_buf_init(&entries, ENTRIES_MAX);
    rs_buf_init(&open, OPEN_MAX);
    RS_TRY(collect(m, &entries, &open, err));
    keep(index, &entries, &open);
    save_if_worth_it(m, SAVE_FROM + rs_children_count(index->reading) / SAVE_SHARE);
    if (m->try_open)
        set_due(index, began_ms);
    else
        atomic_store(&index->due_ms, atomic_load(&before->due_ms));
    return RS_OK;
}

/* --- what is open --- */

/* Tries it again; true if nothing of it can be read now either, so that the index holds. */
static rs_rc still_open(struct making *m, struct rs_referrers_index *index, bool *out, struct rs_err *err)
{
    int64_t began_ms = rs_mono_ms();
    struct rs_digest digest;
    uint64_t note = RS_NOTE_OPEN;
    m->arena = rs_arena_new();
    for (size_t i = 0; i < index->open_count && note == RS_NOTE_OPEN; i++) {
        if (digest_at(index, index->open[i], &digest))
            RS_TRY(examine(m, &digest, &note, err));
    }
    *out = note == RS_NOTE_OPEN;
    if (*out)
        set_due(index, began_ms);
    return RS_OK;
}

/* --- what is kept --- */

static struct slot *slot_of(struct rs_referrers_cache *cache, const struct rs_path *path)
{
    uint64_t h = path->len;
    for (size_t i = 0; i < path->len; i++)
        h = (h ^ (unsigned char)path->z[i]) * UINT64_C(0x100000001b3);
    return &cache->slots[(h ^ h >> 32) % SLOTS];
}

static bool is_of(const struct slot *s, const struct rs_path *path)
{
    return s->path != NULL && strcmp(s->path, path->z) == 0;
}

/* Whether it shows what a call may expect that has this reading: it is of the same, or of a call that came later. */
static bool is_current(const struct rs_referrers_index *index, const struct rs_children *reading, uint64_t call)
{
    if (index == NULL || (index->open_count > 0 && is_due(index)))
        return false;
    return index->reading == reading || index->call > call;
}

static void displaced_release(struct rs_referrers_index **displaced)
{
    while (*displaced != NULL) {
        struct rs_referrers_index *index = *displaced;
        *displaced = index->next;
        rs_referrers_index_unref(&index);
    }
}

static void displace_locked(struct rs_referrers_cache *cache, struct slot *s, struct rs_referrers_index **displaced)
{
    struct rs_referrers_index *index = rs_take(&s->index);
    if (index == NULL)
        return;
    cache->entries -= bytes_of(index);
    index->next = *displaced;
    *displaced = index;
}

/* Puts the new one in its place, and makes room for it: in turn, whoever's it is. What is displaced is to be released
 * without the lock. */
static void replace_locked(struct rs_referrers_cache *cache, struct slot *s, struct rs_referrers_index *index,
                           struct rs_referrers_index **displaced)
{
    if (s->index == index)
        return;
    displace_locked(cache, s, displaced);
    s->index = shared(index);
    cache->entries += bytes_of(index);
    for (size_t i = 0; i < SLOTS && cache->entries > ENTRIES_MAX; i++) {
        struct slot *other = &cache->slots[cache->hand++ % SLOTS];
        if (other != s && !other->busy)
            displace_locked(cache, other, displaced);
    }
}

/* A current index with a reference; or NULL, and the caller makes it: *out_own tells whether for the slot. */
static rs_rc take_locked(struct rs_referrers_cache *cache, struct slot *s, const struct rs_path *path,
                         const struct rs_children *reading, uint64_t call, struct rs_referrers_index **out,
                         bool *out_own, struct rs_err *err)
{
    int64_t end = rs_mono_ms() + (s->waiting < WAITERS_FEW ? WAIT_MS : WAIT_SHORT_MS);
    *out_own = false;
    s->waiting++;
    while (s->busy && is_of(s, path) && rs_mono_ms() < end)
        rs_cond_wait_ms(&cache->done, &cache->lock, end - rs_mono_ms());
    s->waiting--;
    if (s->busy && is_of(s, path))
        return rs_err_set(err, RS_E_UNAVAILABLE,
                          "the manifests of the repository are being read to find those with a subject; ask again");
    *out = is_of(s, path) && is_current(s->index, reading, call) ? shared(s->index) : NULL;
    if (*out == NULL && !s->busy)
        *out_own = s->busy = true;
    return RS_OK;
}

/* The index for a reading, from the one that is kept or anew. */
static rs_rc renew(struct making *m, struct rs_referrers_index *kept, struct rs_children **reading,
                   enum rs_hash_alg alg, struct rs_err *err)
{
    bool unchanged = false;
    if (kept != NULL && kept->reading == *reading)
        RS_TRY(still_open(m, kept, &unchanged, err));
    if (!unchanged)
        return make(m, reading, alg, kept, err);
    m->index = shared(kept);
    return RS_OK;
}

/* By the one thread for which s->busy is set: nobody else changes path and index. */
static rs_rc renew_slot(struct making *m, struct slot *s, const struct rs_path *path, struct rs_children **reading,
                        enum rs_hash_alg alg, struct rs_err *err)
{
    struct rs_referrers_cache *cache = m->registry->referrers;
    RS_AUTO(displaced_release) struct rs_referrers_index *displaced = NULL;
    char *old_path = NULL;
    rs_mutex_lock(&cache->lock);
    if (!is_of(s, path)) {
        old_path = s->path;
        s->path = rs_strdup(path->z);
        displace_locked(cache, s, &displaced);
    }
    unsigned pushes = s->pushes;
    rs_mutex_unlock(&cache->lock);
    free(old_path);
    rs_rc rc = renew(m, s->index, reading, alg, err);
    rs_mutex_lock(&cache->lock);
    replace_locked(cache, s, rc == RS_OK ? m->index : NULL, &displaced);
    if (s->index != NULL && s->pushes != pushes)
        atomic_store(&s->index->due_ms, 0); /* what was found open may have come meanwhile */
    s->busy = false;
    pthread_cond_broadcast(&cache->done);
    rs_mutex_unlock(&cache->lock);
    return rc;
}

rs_rc rs_referrers_index_open(struct rs_registry *registry, rs_str repository, enum rs_hash_alg alg, bool read_only,
                              struct rs_referrers_index **out, struct rs_err *err)
{
    struct rs_path path;
    bool own;
    RS_AUTO(rs_children_unref) struct rs_children *reading = NULL;
    struct rs_referrers_cache *cache = registry->referrers;
    *out = NULL;
    rs_mutex_lock(&cache->lock);
    uint64_t call = ++cache->calls;
    rs_mutex_unlock(&cache->lock);
    rs_rc rc = rs_children_open(registry, rs_path_revisions(&path, repository, alg), &reading, err);
    if (rc != RS_OK)
        return rc == RS_E_NOT_FOUND ? RS_OK : rc;
    struct slot *s = slot_of(cache, &path);
    rs_mutex_lock(&cache->lock);
    rc = take_locked(cache, s, &path, reading, call, out, &own, err);
    rs_mutex_unlock(&cache->lock);
    if (rc != RS_OK || *out != NULL)
        return rc;
    RS_AUTO(making_release)
    struct making m = {.registry = registry, .repository = repository, .read_only = read_only, .call = call};
    if (own)
        RS_TRY(renew_slot(&m, s, &path, &reading, alg, err));
    else
        RS_TRY(make(&m, &reading, alg, NULL, err));
    *out = rs_take(&m.index);
    return RS_OK;
}

void rs_referrers_pushed(struct rs_registry *registry, rs_str repository, const struct rs_digest *digest,
                         const struct rs_manifest *manifest)
{
    const struct rs_referrer referrer = {.subject = manifest->subject.digest, .artifact_type = manifest->artifact_type};
    struct rs_path path;
    struct rs_referrers_cache *cache = registry->referrers;
    rs_note_table_add(registry->pushed, digest, manifest->has_subject ? rs_note_of(&referrer) : RS_NOTE_NONE);
    struct slot *s = slot_of(cache, (rs_path_revisions(&path, repository, digest->alg), &path));
    rs_mutex_lock(&cache->lock);
    s->pushes++;
    if (is_of(s, &path) && s->index != NULL)
        atomic_store(&s->index->due_ms, 0); /* it may be one of those that are open */
    rs_mutex_unlock(&cache->lock);
}
