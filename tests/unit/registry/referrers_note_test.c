/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/referrers_note.h"

#include "fixture.h"

static struct rs_referrer referrer(const char *subject, const char *type)
{
    return (struct rs_referrer){.subject = digest_of(subject), .artifact_type = rs_str_c(type)};
}

static bool passes(uint64_t note, const char *subject, const char *type)
{
    struct rs_digest digest = digest_of(subject);
    struct rs_note_filter filter = rs_note_filter(&digest, rs_str_c(type));
    return (note & filter.mask) == filter.wanted;
}

static void a_note_passes_its_own_filters_only(void **state)
{
    (void)state;
    const struct rs_referrer one = referrer("a", "x/y"), untyped = referrer("a", "");
    uint64_t note = rs_note_of(&one);
    assert_true(passes(note, "a", ""));
    assert_true(passes(note, "a", "x/y"));
    assert_false(passes(note, "a", "x/z"));
    assert_false(passes(note, "b", ""));
    assert_false(passes(note, "b", "x/y"));
    assert_true(passes(rs_note_of(&untyped), "a", ""));
    assert_false(passes(rs_note_of(&untyped), "a", "x/y"));
    assert_false(passes(RS_NOTE_NONE, "a", ""));
    assert_false(passes(RS_NOTE_UNKNOWN, "a", ""));
}

static void the_type_does_not_change_the_subject(void **state)
{
    (void)state;
    const struct rs_referrer x = referrer("a", "x"), y = referrer("a", "y"), other = referrer("b", "x");
    assert_true(rs_note_of(&x) != rs_note_of(&y));
    assert_true(rs_note_subject(rs_note_of(&x)) == rs_note_subject(rs_note_of(&y)));
    assert_true(rs_note_subject(rs_note_of(&x)) != rs_note_subject(rs_note_of(&other)));
    assert_true(rs_note_of(&x) != RS_NOTE_NONE && rs_note_of(&x) != RS_NOTE_UNKNOWN);
}

static void the_table_knows_what_was_added_last(void **state)
{
    (void)state;
    struct rs_note_table *table = rs_note_table_new();
    const struct rs_digest a = digest_of("a"), b = digest_of("b");
    assert_true(rs_note_table_find(table, &a) == RS_NOTE_UNKNOWN);
    rs_note_table_add(table, &a, RS_NOTE_NONE);
    rs_note_table_add(table, &b, 7);
    assert_true(rs_note_table_find(table, &a) == RS_NOTE_NONE);
    assert_true(rs_note_table_find(table, &b) == 7);
    for (int i = 0; i < 100000; i++) { /* more than it holds: what is forgotten is unknown, never wrong */
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        const struct rs_digest digest = digest_of(text);
        rs_note_table_add(table, &digest, 9);
        assert_true(rs_note_table_find(table, &digest) == 9);
    }
    uint64_t note = rs_note_table_find(table, &b);
    assert_true(note == 7 || note == RS_NOTE_UNKNOWN);
    rs_note_table_free(&table);
    assert_null(table);
    rs_note_table_free(&table);
}

static int compare_digests(const void *a, const void *b)
{
    return strcmp(((const struct rs_digest *)a)->text, ((const struct rs_digest *)b)->text);
}

#define COUNT 500

static void make_digests(struct rs_digest digests[COUNT])
{
    for (int i = 0; i < COUNT; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        digests[i] = digest_of(text);
    }
    qsort(digests, COUNT, sizeof *digests, compare_digests);
}

static void a_file_gives_back_what_was_put_in(void **state)
{
    (void)state;
    struct rs_digest digests[COUNT];
    struct rs_notes written, read = {0};
    make_digests(digests);
    rs_notes_begin(&written);
    for (size_t i = 0; i < COUNT; i += 2)
        rs_notes_add(&written, &digests[i], i + 1);
    rs_str file = rs_notes_end(&written);
    rs_buf_init(&read.file, RS_NOTES_MAX);
    rs_buf_add(&read.file, file);
    assert_true(rs_notes_parse(&read));
    assert_int_equal(read.count, COUNT / 2);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(rs_notes_find(&read, &digests[i]) == (i % 2 == 0 ? i + 1 : RS_NOTE_UNKNOWN));
    rs_notes_release(&read);
    assert_true(rs_notes_find(&read, &digests[0]) == RS_NOTE_UNKNOWN);
    rs_notes_release(&written);
}

/* Cut anywhere, or with any byte changed, it is not believed. */
static void a_damaged_file_is_not_believed(void **state)
{
    (void)state;
    const struct rs_digest digest = digest_of("a");
    struct rs_notes written, read = {0};
    rs_notes_begin(&written);
    rs_notes_add(&written, &digest, 5);
    rs_str file = rs_notes_end(&written);
    rs_buf_init(&read.file, RS_NOTES_MAX);
    for (size_t i = 0; i < file.len; i++) {
        rs_buf_clear(&read.file);
        rs_buf_append(&read.file, file.ptr, i);
        assert_false(rs_notes_parse(&read));
        assert_true(rs_notes_find(&read, &digest) == RS_NOTE_UNKNOWN);
        rs_buf_add(&read.file, rs_str_from(file, i));
        assert_true(rs_notes_parse(&read));
        read.file.ptr[i] ^= 1;
        assert_false(rs_notes_parse(&read));
    }
    rs_buf_clear(&read.file);
    rs_buf_add(&read.file, file);
    rs_buf_add_char(&read.file, 'x');
    assert_false(rs_notes_parse(&read));
    rs_notes_release(&read);
    rs_notes_release(&written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_note_passes_its_own_filters_only),  cmocka_unit_test(the_type_does_not_change_the_subject),
        cmocka_unit_test(the_table_knows_what_was_added_last), cmocka_unit_test(a_file_gives_back_what_was_put_in),
        cmocka_unit_test(a_damaged_file_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
