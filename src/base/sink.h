/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where lines go: standard error (the log) and standard output (the access log). Writing never waits for whoever reads
 * them: a line that does not go out is dropped and counted. Any thread, unless it says otherwise.
 */
#pragma once

#include "base/cc.h"
#include "base/str.h"

enum rs_sink { RS_SINK_LOG, RS_SINK_ACCESS };

/* Makes both descriptors such that writing does not wait: the descriptor gets an open file description of its own, so
 * that nobody else who has the pipe or terminal notices. Before privileges are dropped and other threads run. */
void rs_sink_open(void);

/* Writes a line, which ends with '\n', by one call as a rule. False: it was lost. */
bool rs_sink_write(enum rs_sink sink, rs_str line);

/* How many lines were dropped since the last call; puts it back to 0. */
uint64_t rs_sink_take_dropped(enum rs_sink sink);
uint64_t rs_sink_dropped(enum rs_sink sink); /* since the start */
/* Gives back what could not be told. */
void rs_sink_add_dropped(enum rs_sink sink, uint64_t n);
