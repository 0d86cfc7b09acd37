/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage that wraps another and fails on demand, for tests: the n-th call of a kind, at a byte, or late. The
 * program itself runs on one when ROADSTEAD_TEST_FAULTS holds a plan. Any thread.
 *
 * A plan is a list of rules "call:key=value:…", separated by ';'. Calls: stat read open put keep mkdir remove list
 * sync append_create append_open append append_read publish move, or any; a replace and a touch count as a put, a scan
 * as a list, remove_if and prune as a remove. Keys:
 *   nth=N           from the N-th matching call on, counted from 1 when the rule was added (default 1)
 *   times=N         that many times (default: once if nth is given, else for good)
 *   error=NAME      with the error of that name in tbl/errors.def (default IO)
 *   fail-at-byte=N  append, read: the first N bytes of the object pass, then it fails;
 *                   open: the file ends after N bytes, though its length says otherwise;
 *                   list: the directory breaks off after N children
 *   delay=MS        sleeps before the call; without error and fail-at-byte the call then succeeds
 *   kill            instead of failing, the process kills itself (SIGKILL)
 * Example: "append:fail-at-byte=1000:error=STORAGE_FULL;sync:nth=3:error=IO;put:delay=50"
 */
#pragma once

#include "storage/storage.h"

/* Owns inner from now on. Without rules it passes everything through. */
void rs_storage_faulty_new(struct rs_storage *inner, struct rs_storage **out);
/* Adds the rules of a plan to a faulty storage. RS_E_INVALID if one cannot be understood; then none is added. */
rs_rc rs_storage_faulty_parse(struct rs_storage *faulty, rs_str plan, struct rs_err *err);
/* Removes all rules and zeroes the counts. */
void rs_storage_faulty_clear(struct rs_storage *faulty);

enum rs_faulty_call {
    RS_FAULTY_STAT,
    RS_FAULTY_READ,
    RS_FAULTY_OPEN,
    RS_FAULTY_PUT,
    RS_FAULTY_KEEP,
    RS_FAULTY_MKDIR,
    RS_FAULTY_REMOVE,
    RS_FAULTY_LIST,
    RS_FAULTY_SYNC,
    RS_FAULTY_APPEND_CREATE,
    RS_FAULTY_APPEND_OPEN,
    RS_FAULTY_APPEND,
    RS_FAULTY_APPEND_READ,
    RS_FAULTY_PUBLISH,
    RS_FAULTY_MOVE,
    RS_FAULTY_CALLS, /* "any" in a plan */
};
/* How often a call was made, and how often one was made to fail. */
uint64_t rs_storage_faulty_calls(const struct rs_storage *faulty, enum rs_faulty_call call);
uint64_t rs_storage_faulty_failures(const struct rs_storage *faulty);
