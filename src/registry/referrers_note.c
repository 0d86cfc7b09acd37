/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/referrers_note.h"

#include "base/mem.h"

/* Bits of a note, from the highest: it is known; it has a subject; the type's hash; the subject's hash. */
#define HAS_SUBJECT ((uint64_t)1 << 62)
#define TYPE_SHIFT 40
#define TYPE_MASK (((uint64_t)1 << 22) - 1)
#define SUBJECT_MASK (((uint64_t)1 << TYPE_SHIFT) - 1)

static uint64_t hash_of(rs_str s)
{
    uint8_t raw[RS_HASH_MAX];
    uint64_t hash;
    rs_hash_once(RS_SHA256, s.ptr, s.len, raw);
    memcpy(&hash, raw, sizeof hash);
    return hash;
}

static uint64_t subject_bits(const struct rs_digest *subject)
{
    return RS_NOTE_NONE | HAS_SUBJECT | (hash_of(rs_digest_str(subject)) & SUBJECT_MASK);
}

static uint64_t type_bits(rs_str artifact_type)
{
    return (hash_of(artifact_type) & TYPE_MASK) << TYPE_SHIFT;
}

uint64_t rs_note_of(const struct rs_referrer *referrer)
{
    return subject_bits(&referrer->subject) | type_bits(referrer->artifact_type);
}

uint64_t rs_note_subject(uint64_t note)
{
    return note & ~(TYPE_MASK << TYPE_SHIFT);
}

struct rs_note_filter rs_note_filter(const struct rs_digest *subject, rs_str artifact_type)
{
    if (artifact_type.len == 0)
        return (struct rs_note_filter){~(TYPE_MASK << TYPE_SHIFT), subject_bits(subject)};
    return (struct rs_note_filter){UINT64_MAX, subject_bits(subject) | type_bits(artifact_type)};
}

struct rs_note_key rs_note_key(const struct rs_digest *digest)
{
    struct rs_note_key key;
    rs_hex_decode((rs_str){rs_digest_hex(digest), 2 * sizeof key.bytes}, key.bytes, sizeof key.bytes);
    return key;
}

/* --- of what was pushed a moment ago --- */

#define SLOTS 16384 /* a power of two */

struct rs_note_table {
    struct rs_mutex lock;
    struct rs_note_record slots[SLOTS];
};

struct rs_note_table *rs_note_table_new(void)
{
    struct rs_note_table *table = rs_calloc(1, sizeof *table);
    rs_mutex_init(&table->lock, RS_LOCK_CACHE);
    return table;
}

void rs_note_table_free(struct rs_note_table **table)
{
    if (*table == NULL)
        return;
    rs_mutex_release(&(*table)->lock);
    free(*table);
    *table = NULL;
}

static struct rs_note_record *slot_of(struct rs_note_table *table, const struct rs_note_key *key)
{
    uint32_t spread;
    memcpy(&spread, key->bytes, sizeof spread);
    return &table->slots[spread % SLOTS];
}

void rs_note_table_add(struct rs_note_table *table, const struct rs_digest *digest, uint64_t note)
{
    const struct rs_note_record record = {rs_note_key(digest), note};
    rs_mutex_lock(&table->lock);
    *slot_of(table, &record.key) = record;
    rs_mutex_unlock(&table->lock);
}

uint64_t rs_note_table_find(struct rs_note_table *table, const struct rs_digest *digest)
{
    const struct rs_note_key key = rs_note_key(digest);
    rs_mutex_lock(&table->lock);
    const struct rs_note_record record = *slot_of(table, &key);
    rs_mutex_unlock(&table->lock);
    return memcmp(&record.key, &key, sizeof key) == 0 ? record.note : RS_NOTE_UNKNOWN;
}

/* --- on storage --- */

/* A head, the records, and the SHA-256 of both. The byte order is the machine's own: another's is not believed. */
struct head {
    char magic[24];
    uint64_t byte_order;
};
static const struct head head = {"roadstead referrers 1\n", 0x0102030405060708};

#define SUM_SIZE 32

void rs_notes_release(struct rs_notes *notes)
{
    rs_buf_release(&notes->file);
    notes->count = 0;
}

bool rs_notes_parse(struct rs_notes *notes)
{
    uint8_t sum[RS_HASH_MAX];
    rs_str rest = rs_buf_str(&notes->file);
    notes->count = 0;
    if (rest.len < sizeof head + SUM_SIZE || memcmp(rest.ptr, &head, sizeof head) != 0 ||
        (rest.len - sizeof head - SUM_SIZE) % sizeof *notes->records != 0)
        return false;
    rs_hash_once(RS_SHA256, rest.ptr, rest.len - SUM_SIZE, sum);
    if (memcmp(sum, rest.ptr + rest.len - SUM_SIZE, SUM_SIZE) != 0)
        return false;
    notes->records = (const struct rs_note_record *)(const void *)(rest.ptr + sizeof head);
    notes->count = (rest.len - sizeof head - SUM_SIZE) / sizeof *notes->records;
    return true;
}

static int compare_keys(const void *key, const void *record)
{
    return memcmp(key, &((const struct rs_note_record *)record)->key, sizeof(struct rs_note_key));
}

uint64_t rs_notes_find(const struct rs_notes *notes, const struct rs_digest *digest)
{
    const struct rs_note_key key = rs_note_key(digest);
    if (notes->count == 0)
        return RS_NOTE_UNKNOWN;
    const struct rs_note_record *found =
        bsearch(&key, notes->records, notes->count, sizeof *notes->records, compare_keys);
    return found != NULL ? found->note : RS_NOTE_UNKNOWN;
}

void rs_notes_begin(struct rs_notes *notes)
{
    *notes = (struct rs_notes){0};
    rs_buf_init(&notes->file, RS_NOTES_MAX);
    rs_buf_append(&notes->file, &head, sizeof head);
}

void rs_notes_add(struct rs_notes *notes, const struct rs_digest *digest, uint64_t note)
{
    const struct rs_note_record record = {rs_note_key(digest), note};
    rs_buf_append(&notes->file, &record, sizeof record);
    notes->count++;
}

rs_str rs_notes_end(struct rs_notes *notes)
{
    uint8_t sum[RS_HASH_MAX];
    rs_hash_once(RS_SHA256, notes->file.ptr, notes->file.len, sum);
    rs_buf_append(&notes->file, sum, SUM_SIZE);
    return notes->file.overflow ? (rs_str){NULL, 0} : rs_buf_str(&notes->file);
}
