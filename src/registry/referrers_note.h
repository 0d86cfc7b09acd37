/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a manifest as a referrer, in 64 bits: whether it has a subject, and bits of the hashes of that
 * subject and of its artifact type. This depends on the manifest's bytes alone, so that it holds for ever, wherever the
 * manifest lies and whoever found it out. A note only spares reading what cannot be meant: what it does not exclude is
 * read. Private to the registry; pure but for the table, any thread.
 */
#pragma once

#include "base/lock.h"
#include "oci/digest.h"
#include "oci/manifest.h"

#define RS_NOTE_UNKNOWN 0
#define RS_NOTE_NONE ((uint64_t)1 << 63) /* it has no subject, or is no manifest at all */
#define RS_NOTE_OPEN (RS_NOTE_NONE | 1)  /* it could not be read when that was last tried: this alone may change */

uint64_t rs_note_of(const struct rs_referrer *referrer);
/* The part of a note that all referrers of a subject share. */
uint64_t rs_note_subject(uint64_t note);

/* Which notes may be of referrers of a subject, and of a type: (note & mask) == wanted. */
struct rs_note_filter {
    uint64_t mask;
    uint64_t wanted;
};
struct rs_note_filter rs_note_filter(const struct rs_digest *subject, rs_str artifact_type); /* empty: any type */

/* How a manifest is named in tables of notes: the first half of a SHA-256. */
struct rs_note_key {
    uint8_t bytes[16];
};
struct rs_note_key rs_note_key(const struct rs_digest *digest);

struct rs_note_record {
    struct rs_note_key key;
    uint64_t note;
};

/* The notes of manifests that this process has just accepted: they need not be read again at the next listing. A newer
 * one displaces an older one. */
struct rs_note_table;
struct rs_note_table *rs_note_table_new(void);
void rs_note_table_free(struct rs_note_table **table);
void rs_note_table_add(struct rs_note_table *table, const struct rs_digest *digest, uint64_t note);
uint64_t rs_note_table_find(struct rs_note_table *table, const struct rs_digest *digest); /* RS_NOTE_UNKNOWN */

/* The notes of a repository on storage, sorted by key (docs/DATA.md). What cannot be believed counts as not there. */
struct rs_notes {
    struct rs_buf file;
    const struct rs_note_record *records; /* in it */
    size_t count;
};
void rs_notes_release(struct rs_notes *notes);
bool rs_notes_parse(struct rs_notes *notes); /* what `file` holds */
uint64_t rs_notes_find(const struct rs_notes *notes, const struct rs_digest *digest);
/* Builds the file: begin, the records in the order of their keys, end. */
void rs_notes_begin(struct rs_notes *notes);
void rs_notes_add(struct rs_notes *notes, const struct rs_digest *digest, uint64_t note);
rs_str rs_notes_end(struct rs_notes *notes);
#define RS_NOTES_MAX (64 * 1024 * 1024) /* bytes; of more manifests nothing is stored */
