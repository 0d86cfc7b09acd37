/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/mem.h"
#include "base/thread.h"

#define REPO "lib/app"
#define OTHER_UUID "0b3a1c2d-0000-4000-8000-0123456789ab"
#define KIB ((size_t)1024)

/* Deterministic bytes. */
static char *pattern(size_t len)
{
    char *bytes = rs_malloc(len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 7);
    return bytes;
}

static void begin(struct fixture *f, char uuid[RS_UUID_SIZE])
{
    assert_ok(f, rs_upload_begin(f->registry, RS_STR(REPO), uuid, &f->err));
}

static rs_rc open_upload(struct fixture *f, const char *uuid, enum rs_hash_alg alg, struct rs_upload **out)
{
    return rs_upload_open(f->registry, RS_STR(REPO), rs_str_c(uuid), alg, out, &f->err);
}

static const char *in_upload(const char *uuid, const char *rest)
{
    static char path[1024];
    snprintf(path, sizeof path, "repositories/" REPO "/_uploads/%.64s%.512s", uuid, rest);
    return path;
}

static bool has_blob(struct fixture *f, const struct rs_digest *digest)
{
    uint64_t size;
    rs_rc rc = rs_blob_stat(f->registry, RS_STR(REPO), digest, &size, &f->err);
    assert_true(rc == RS_OK || rc == RS_E_BLOB_UNKNOWN);
    return rc == RS_OK;
}

/* A client's whole upload of bytes in `step`s, each by another request. */
static rs_rc push_in_steps(struct fixture *f, const char *bytes, size_t len, size_t step,
                           const struct rs_digest *digest, char uuid[RS_UUID_SIZE])
{
    struct rs_upload *u;
    begin(f, uuid);
    for (size_t at = 0; at < len; at += step) {
        assert_ok(f, open_upload(f, uuid, digest->alg, &u));
        assert_int_equal(rs_upload_offset(u), at);
        assert_ok(f, rs_upload_write(u, bytes + at, RS_MIN(step, len - at), &f->err));
        rs_upload_suspend(&u);
        assert_null(u);
    }
    assert_ok(f, open_upload(f, uuid, digest->alg, &u));
    rs_rc rc = rs_upload_commit(&u, digest, &f->err);
    assert_null(u);
    return rc;
}

/* As the API receives a body: into the upload's own buffer once it has one. Returns how often it had. */
static size_t write_received(struct fixture *f, struct rs_upload *u, const char *bytes, size_t len, size_t step)
{
    size_t beside = 0;
    for (size_t at = 0, n = 0; at < len; at += n) {
        size_t cap = step;
        char *buffer = rs_upload_buffer(u, &cap);
        n = RS_MIN(RS_MIN(cap, step), len - at);
        if (buffer != NULL) {
            memcpy(buffer, bytes + at, n);
            beside++;
        }
        assert_ok(f, rs_upload_write(u, buffer != NULL ? buffer : bytes + at, n, &f->err));
    }
    return beside;
}

/* The second thread's hash is that of the bytes, also when others write between, and for later requests. */
static void test_long_uploads_are_hashed_beside(void **state)
{
    struct fixture *f = *state;
    const size_t half = 3 * KIB * KIB + 17, len = 2 * half;
    RS_AUTO(rs_free_ptr) char *bytes = pattern(len);
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    struct rs_digest digest;
    rs_digest_of(RS_SHA256, bytes, len, &digest);
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    size_t beside = write_received(f, u, bytes, half - 5, 100 * 1000);
    assert_true(rs_cores() < 2 || beside > 10);
    assert_ok(f, rs_upload_write(u, bytes + half - 5, 5, &f->err)); /* from a buffer of the caller's */
    rs_upload_suspend(&u);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_int_equal(rs_upload_offset(u), half);
    write_received(f, u, bytes + half, half, 256 * KIB);
    assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
    assert_true(has_blob(f, &digest));
}

/* What failed on its way to the disk was hashed already: the state must not be kept. */
static void test_a_failed_write_while_hashing_beside(void **state)
{
    struct fixture *f = *state;
    const size_t len = 4 * KIB * KIB;
    RS_AUTO(rs_free_ptr) char *bytes = pattern(len);
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    struct rs_digest digest;
    uint64_t offset;
    size_t cap;
    rs_digest_of(RS_SHA256, bytes, len, &digest);
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    write_received(f, u, bytes, len / 2, 128 * KIB);
    char *buffer = rs_upload_buffer(u, &cap);
    rs_storage_faulty_parse(f->storage, RS_STR("append:nth=1:error=STORAGE_FULL"), &f->err);
    if (buffer != NULL)
        memcpy(buffer, bytes + len / 2, 1000);
    assert_rc(f, RS_E_STORAGE_FULL, rs_upload_write(u, buffer != NULL ? buffer : bytes + len / 2, 1000, &f->err));
    rs_upload_suspend(&u);
    rs_storage_faulty_clear(f->storage);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    offset = rs_upload_offset(u);
    assert_int_equal(offset, len / 2);
    write_received(f, u, bytes + offset, len - offset, 128 * KIB);
    assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
}

static void test_begin(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    uint64_t offset = 99;
    begin(f, uuid);
    assert_true(rs_uuid_valid(rs_str_c(uuid)));
    RS_AUTO(rs_free_ptr) char *started = fixture_read(f, in_upload(uuid, "/startedat"));
    int64_t at;
    assert_int_equal(strlen(started), 22);
    assert_string_equal(started + 19, ".0Z"); /* what a registry:2 never writes */
    assert_true(rs_rfc3339_parse(rs_str_c(started), &at));
    assert_true(rs_wall_s() - at <= 2 && at <= rs_wall_s());
    assert_true(fixture_exists(f, in_upload(uuid, "/data")));
    assert_ok(f, rs_upload_stat(f->registry, RS_STR(REPO), rs_str_c(uuid), &offset, &f->err));
    assert_int_equal(offset, 0);
}

static void test_whole(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = push_text(f, REPO, "hello");
    RS_AUTO(rs_free_ptr) char *text = blob_text(f, REPO, &digest);
    assert_string_equal(text, "hello");
    RS_AUTO(rs_free_ptr) char *tree = fixture_tree(f);
#define HEX "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert_string_equal(tree, "docker/\n"
                              "docker/registry/\n"
                              "docker/registry/v2/\n"
                              "docker/registry/v2/blobs/\n"
                              "docker/registry/v2/blobs/sha256/\n"
                              "docker/registry/v2/blobs/sha256/2c/\n"
                              "docker/registry/v2/blobs/sha256/2c/" HEX "/\n"
                              "docker/registry/v2/blobs/sha256/2c/" HEX "/data=hello\n"
                              "docker/registry/v2/repositories/\n"
                              "docker/registry/v2/repositories/lib/\n"
                              "docker/registry/v2/repositories/lib/app/\n"
                              "docker/registry/v2/repositories/lib/app/_layers/\n"
                              "docker/registry/v2/repositories/lib/app/_layers/sha256/\n"
                              "docker/registry/v2/repositories/lib/app/_layers/sha256/" HEX "/\n"
                              "docker/registry/v2/repositories/lib/app/_layers/sha256/" HEX "/link=sha256:" HEX "\n"
                              "docker/registry/v2/repositories/lib/app/_uploads/\n"
                              "roadstead/\n"
                              "roadstead/v1/\n");
}

static void test_empty_blob(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = digest_of("");
    uint64_t size = 1;
    push_text(f, REPO, "");
    assert_ok(f, rs_blob_stat(f->registry, RS_STR(REPO), &digest, &size, &f->err));
    assert_int_equal(size, 0);
}

static void test_in_steps(void **state)
{
    struct fixture *f = *state;
    size_t len = 1500 * KIB + 17;
    RS_AUTO(rs_free_ptr) char *bytes = pattern(len);
    const size_t steps[] = {100 * KIB + 1, 300 * KIB + 5, 1024 * KIB};
    for (int alg = 0; alg < RS_HASH_ALGS; alg++) {
        for (size_t i = 0; i < RS_COUNT(steps); i++) {
            char uuid[RS_UUID_SIZE];
            struct rs_digest digest;
            rs_digest_of((enum rs_hash_alg)alg, bytes, len, &digest);
            assert_ok(f, push_in_steps(f, bytes, len, steps[i], &digest, uuid));
            assert_true(has_blob(f, &digest));
            assert_false(fixture_exists(f, in_upload(uuid, "")));
        }
    }
}

/* What registry:2.8.2 left after a PATCH of 300001 bytes of pattern(). */
static const char go_state[] =
    "736861037ca6730f7f1a38404a45e0570a42b60c218ad200c6818bf088ed84174f1bcbcd40474e555c636a71787f86"
    "8d949ba2a9b0b7bec5ccd3dae1e8eff6fd040b121920000000000000000000000000000000000000000000000000"
    "0000000000000000000000000493e1";
static const char go_state_0[] =
    "736861036a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19"; /* zeroes follow */
#define GO_SIZE 300001

static void write_hex(struct fixture *f, const char *path, const char *hex)
{
    char state[108] = {0};
    assert_true(rs_hex_decode(rs_str_c(hex), state, strlen(hex) / 2));
    fixture_write(f, path, state, sizeof state);
}

static void begin_like_go(struct fixture *f, const char *data)
{
    char path[512];
    fixture_write_c(f, in_upload(OTHER_UUID, "/startedat"), "2026-11-20T16:15:31Z");
    fixture_write(f, in_upload(OTHER_UUID, "/data"), data, GO_SIZE);
    write_hex(f, in_upload(OTHER_UUID, "/hashstates/sha256/0"), go_state_0);
    snprintf(path, sizeof path, "/hashstates/sha256/%d", GO_SIZE);
    write_hex(f, in_upload(OTHER_UUID, path), go_state);
}

/* The data are not those that were hashed, so only the stored state can give this digest: nothing is read twice. */
static void test_state_of_registry2_is_used(void **state)
{
    struct fixture *f = *state;
    struct rs_upload *u;
    struct rs_digest digest;
    RS_AUTO(rs_free_ptr) char *zeroes = rs_calloc(1, GO_SIZE);
    RS_AUTO(rs_free_ptr) char *bytes = pattern(GO_SIZE + 5);
    rs_digest_of(RS_SHA256, bytes, GO_SIZE + 5, &digest);
    begin_like_go(f, zeroes);
    assert_ok(f, open_upload(f, OTHER_UUID, RS_SHA256, &u));
    assert_int_equal(rs_upload_offset(u), GO_SIZE);
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_APPEND_READ), 0);
    assert_ok(f, rs_upload_write(u, bytes + GO_SIZE, 5, &f->err));
    assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
    assert_true(has_blob(f, &digest));
}

static void test_resumes_upload_of_registry2(void **state)
{
    struct fixture *f = *state;
    struct rs_upload *u;
    struct rs_digest digest;
    uint64_t offset;
    RS_AUTO(rs_free_ptr) char *bytes = pattern(GO_SIZE);
    rs_digest_of(RS_SHA256, bytes, GO_SIZE, &digest);
    begin_like_go(f, bytes);
    assert_ok(f, rs_upload_stat(f->registry, RS_STR(REPO), RS_STR(OTHER_UUID), &offset, &f->err));
    assert_int_equal(offset, GO_SIZE);
    assert_ok(f, open_upload(f, OTHER_UUID, RS_SHA256, &u));
    assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
    assert_false(fixture_exists(f, in_upload(OTHER_UUID, "")));
}

static void test_bad_states_are_passed_over(void **state)
{
    struct fixture *f = *state;
    struct rs_upload *u;
    struct rs_digest digest;
    RS_AUTO(rs_free_ptr) char *bytes = pattern(GO_SIZE);
    rs_digest_of(RS_SHA256, bytes, GO_SIZE, &digest);
    begin_like_go(f, bytes);
    fixture_remove(f, in_upload(OTHER_UUID, "/hashstates/sha256/0"));
    fixture_write_c(f, in_upload(OTHER_UUID, "/hashstates/sha256/300001"), "rubbish");
    write_hex(f, in_upload(OTHER_UUID, "/hashstates/sha256/299999"), go_state); /* is of another length */
    fixture_write_c(f, in_upload(OTHER_UUID, "/hashstates/sha256/x12"), "");
    fixture_write_c(f, in_upload(OTHER_UUID, "/hashstates/sha256/200000/dir"), "");
    assert_ok(f, open_upload(f, OTHER_UUID, RS_SHA256, &u));
    assert_int_equal(rs_upload_offset(u), GO_SIZE);
    assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
    assert_true(has_blob(f, &digest));
}

/* The bytes were lost and others sent instead: a state that has outlived them must not vouch for these. */
static void test_states_do_not_outlive_their_bytes(void **state)
{
    struct fixture *f = *state;
    struct rs_upload *u;
    struct rs_digest old, new;
    const size_t kept[] = {0, 1000, 300000};
    RS_AUTO(rs_free_ptr) char *bytes = pattern(GO_SIZE);
    RS_AUTO(rs_free_ptr) char *zeroes = rs_calloc(1, GO_SIZE);
    rs_digest_of(RS_SHA256, bytes, GO_SIZE, &old);
    for (size_t i = 0; i < RS_COUNT(kept); i++) {
        memcpy(zeroes, bytes, kept[i]);
        rs_digest_of(RS_SHA256, zeroes, GO_SIZE, &new);
        begin_like_go(f, bytes);
        fixture_write(f, in_upload(OTHER_UUID, "/data"), bytes, kept[i]);
        assert_ok(f, open_upload(f, OTHER_UUID, i == 2 ? RS_SHA512 : RS_SHA256, &u));
        assert_int_equal(rs_upload_offset(u), kept[i]);
        assert_ok(f, rs_upload_write(u, zeroes + kept[i], GO_SIZE - kept[i], &f->err));
        rs_upload_suspend(&u);
        assert_ok(f, open_upload(f, OTHER_UUID, RS_SHA256, &u));
        assert_rc(f, RS_E_DIGEST_INVALID, rs_upload_commit(&u, &old, &f->err));
        if (strstr(f->err.text, new.text) == NULL)
            fail_msg("%s", f->err.text);
        assert_false(has_blob(f, &old));
    }
}

static void test_bytes_from_before_the_start_are_read(void **state)
{
    struct fixture *f = *state;
    struct rs_upload *u;
    struct rs_digest digest;
    RS_AUTO(rs_free_ptr) char *zeroes = rs_calloc(1, GO_SIZE);
    rs_digest_of(RS_SHA256, zeroes, GO_SIZE, &digest);
    begin_like_go(f, zeroes); /* the states vouch for others */
    fixture_age(f, in_upload(OTHER_UUID, "/data"), 20 * 365 * 86400);
    assert_ok(f, open_upload(f, OTHER_UUID, RS_SHA256, &u));
    assert_false(fixture_exists(f, in_upload(OTHER_UUID, "/hashstates/sha256/300001")));
    assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
}

static void test_state_is_stored_in_the_same_form(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE], want[108];
    struct rs_upload *u;
    RS_AUTO(rs_free_ptr) char *bytes = pattern(2 * GO_SIZE);
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_ok(f, rs_upload_write(u, bytes, GO_SIZE, &f->err));
    rs_upload_suspend(&u);
    RS_AUTO(rs_free_ptr) char *got = fixture_read(f, in_upload(uuid, "/hashstates/sha256/300001"));
    assert_true(rs_hex_decode(rs_str_c(go_state), want, sizeof want));
    assert_memory_equal(got, want, sizeof want);

    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_APPEND_READ), 0);
    assert_ok(f, rs_upload_write(u, bytes + GO_SIZE, GO_SIZE, &f->err));
    rs_upload_suspend(&u);
    assert_true(fixture_exists(f, in_upload(uuid, "/hashstates/sha256/600002")));
    assert_false(fixture_exists(f, in_upload(uuid, "/hashstates/sha256/300001")));
}

static void test_state_is_kept_while_writing(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    size_t piece = 1024 * KIB;
    RS_AUTO(rs_free_ptr) char *bytes = pattern(piece);
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    for (int i = 0; i < 65; i++)
        assert_ok(f, rs_upload_write(u, bytes, piece, &f->err));
    assert_true(fixture_exists(f, in_upload(uuid, "/hashstates/sha256/67108864")));
    rs_upload_suspend(&u);
}

static void test_small_rests_leave_no_state(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_ok(f, rs_upload_write(u, "abc", 3, &f->err));
    rs_upload_suspend(&u);
    assert_false(fixture_exists(f, in_upload(uuid, "/hashstates")));
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_int_equal(rs_upload_offset(u), 3);
    struct rs_digest digest = digest_of("abc");
    assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
}

static void test_other_algorithm_at_the_end(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    struct rs_digest digest;
    RS_AUTO(rs_free_ptr) char *bytes = pattern(GO_SIZE);
    rs_digest_of(RS_SHA512, bytes, GO_SIZE, &digest);
    for (int reopened = 0; reopened < 2; reopened++) {
        begin(f, uuid);
        assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
        assert_ok(f, rs_upload_write(u, bytes, GO_SIZE, &f->err));
        if (reopened) {
            rs_upload_suspend(&u);
            assert_ok(f, open_upload(f, uuid, RS_SHA512, &u));
        }
        assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
        assert_true(has_blob(f, &digest));
    }
    char path[512];
    snprintf(path, sizeof path, "repositories/" REPO "/_layers/sha512/%s/link", rs_digest_hex(&digest));
    RS_AUTO(rs_free_ptr) char *link = fixture_read(f, path);
    assert_string_equal(link, digest.text);
}

static void test_wrong_digest_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    struct rs_digest wrong = digest_of("good"), right = digest_of("evil");
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_ok(f, rs_upload_write(u, "evil", 4, &f->err));
    assert_rc(f, RS_E_DIGEST_INVALID, rs_upload_commit(&u, &wrong, &f->err));
    assert_null(u);
    assert_non_null(strstr(f->err.text, right.text));
    assert_false(has_blob(f, &wrong));
    assert_false(has_blob(f, &right));
    assert_false(fixture_exists(f, in_upload(uuid, "")));
    assert_false(fixture_exists(f, "blobs"));
    assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN, open_upload(f, uuid, RS_SHA256, &u));
}

static void test_unknown(void **state)
{
    struct fixture *f = *state;
    static const char *const uuids[] = {
        OTHER_UUID, "", "x", "..", "../../../blobs", "0b3a1c2d-0000-4000-8000-0123456789a/"};
    struct rs_upload *u = NULL;
    uint64_t offset;
    char mine[RS_UUID_SIZE];
    for (size_t i = 0; i < RS_COUNT(uuids); i++) {
        rs_str uuid = rs_str_c(uuids[i]);
        assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN, rs_upload_stat(f->registry, RS_STR(REPO), uuid, &offset, &f->err));
        assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN, open_upload(f, uuids[i], RS_SHA256, &u));
        assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN, rs_upload_cancel(f->registry, RS_STR(REPO), uuid, &f->err));
    }
    assert_null(u);
    begin(f, mine); /* valid in its own repository only */
    assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN,
              rs_upload_stat(f->registry, RS_STR("other"), rs_str_c(mine), &offset, &f->err));
    assert_false(fixture_exists(f, "repositories/other"));
    fixture_remove(f, in_upload(mine, "/startedat"));
    fixture_write_c(f, in_upload(mine, "/data"), "x");
    assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN, open_upload(f, mine, RS_SHA256, &u));
}

static void test_one_writer(void **state)
{
    struct fixture *f = *state;
    struct fixture *g = fixture_second(f);
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u, *second = NULL;
    uint64_t offset;
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_ok(f, rs_upload_write(u, "abc", 3, &f->err));
    assert_rc(f, RS_E_RANGE_INVALID, open_upload(f, uuid, RS_SHA256, &second));
    assert_rc(g, RS_E_RANGE_INVALID, open_upload(g, uuid, RS_SHA256, &second));
    assert_ok(g, rs_upload_stat(g->registry, RS_STR(REPO), rs_str_c(uuid), &offset, &g->err));
    assert_int_equal(offset, 3);
    rs_upload_suspend(&u);
    assert_ok(g, open_upload(g, uuid, RS_SHA256, &second)); /* the other process goes on */
    assert_ok(g, rs_upload_write(second, "def", 3, &g->err));
    struct rs_digest digest = digest_of("abcdef");
    assert_ok(g, rs_upload_commit(&second, &digest, &g->err));
    assert_true(has_blob(f, &digest));
    fixture_second_free(&g);
}

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    struct rs_digest digest = digest_of("abc");
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_ok(f, rs_upload_write(u, "abc", 3, &f->err));
    assert_ok(f, rs_upload_cancel(f->registry, RS_STR(REPO), rs_str_c(uuid), &f->err));
    assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN, rs_upload_cancel(f->registry, RS_STR(REPO), rs_str_c(uuid), &f->err));
    assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN, rs_upload_commit(&u, &digest, &f->err)); /* under its writer's feet */
    assert_null(u);
    assert_false(has_blob(f, &digest));
    assert_false(fixture_exists(f, in_upload(uuid, "")));
}

/* ENDS ONCE: the winner has moved the data and not removed the rest yet. */
static void test_nobody_fills_an_upload_that_has_ended(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    struct rs_digest digest = digest_of("abc");
    uint64_t offset;
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_ok(f, rs_upload_write(u, "abc", 3, &f->err));
    assert_ok(f, rs_storage_faulty_parse(f->storage, RS_STR("remove"), &f->err));
    assert_ok(f, rs_upload_commit(&u, &digest, &f->err));
    rs_storage_faulty_clear(f->storage);
    assert_true(fixture_exists(f, in_upload(uuid, "/startedat")));
    assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN, open_upload(f, uuid, RS_SHA256, &u));
    assert_rc(f, RS_E_BLOB_UPLOAD_UNKNOWN, rs_upload_stat(f->registry, RS_STR(REPO), rs_str_c(uuid), &offset, &f->err));
    assert_false(fixture_exists(f, in_upload(uuid, "/data")));
    assert_true(has_blob(f, &digest));
}

/* Not even the state of its hash: it is saved at the end of a request, and after each 64 MiB. */
static void test_nothing_is_left_of_what_was_cancelled(void **state)
{
    struct fixture *f = *state;
    char uuid[RS_UUID_SIZE];
    struct rs_upload *u;
    RS_AUTO(rs_free_ptr) char *bytes = pattern(GO_SIZE);
    begin(f, uuid);
    assert_ok(f, open_upload(f, uuid, RS_SHA256, &u));
    assert_ok(f, rs_upload_write(u, bytes, GO_SIZE, &f->err));
    assert_ok(f, rs_upload_cancel(f->registry, RS_STR(REPO), rs_str_c(uuid), &f->err));
    rs_upload_suspend(&u);
    assert_false(fixture_exists(f, in_upload(uuid, "")));
}

static void test_blob_that_is_there(void **state)
{
    struct fixture *f = *state;
    struct rs_digest digest = push_text(f, REPO, "same");
    rs_storage_faulty_clear(f->storage);
    push_text(f, REPO, "same");
    assert_int_equal(rs_storage_faulty_calls(f->storage, RS_FAULTY_PUT), 1); /* startedat; the link stays */
    push_text(f, "other", "same");
    RS_AUTO(rs_free_ptr) char *text = blob_text(f, "other", &digest);
    assert_string_equal(text, "same");
}

static void test_suspend_of_nothing(void **state)
{
    (void)state;
    struct rs_upload *u = NULL;
    rs_upload_suspend(&u);
    assert_null(u);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_long_uploads_are_hashed_beside),
        TEST(test_a_failed_write_while_hashing_beside),
        TEST(test_begin),
        TEST(test_whole),
        TEST(test_empty_blob),
        TEST(test_in_steps),
        TEST(test_state_of_registry2_is_used),
        TEST(test_resumes_upload_of_registry2),
        TEST(test_bad_states_are_passed_over),
        TEST(test_states_do_not_outlive_their_bytes),
        TEST(test_bytes_from_before_the_start_are_read),
        TEST(test_state_is_stored_in_the_same_form),
        TEST(test_state_is_kept_while_writing),
        TEST(test_small_rests_leave_no_state),
        TEST(test_other_algorithm_at_the_end),
        TEST(test_wrong_digest_leaves_nothing),
        TEST(test_unknown),
        TEST(test_one_writer),
        TEST(test_cancel),
        TEST(test_nobody_fills_an_upload_that_has_ended),
        TEST(test_nothing_is_left_of_what_was_cancelled),
        TEST(test_blob_that_is_there),
        cmocka_unit_test(test_suspend_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
