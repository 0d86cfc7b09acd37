/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Health: the checks of the section health, each run again and again by a thread of its own, and one flag that says
 * whether all is well. Any thread may ask. See "CHECKS" in health.c.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "config/config.h"
#include "storage/storage.h"

struct rs_health;

/* Borrows both for its lifetime. All is well until a check has failed as often as its threshold says. */
struct rs_health *rs_health_new(const struct rs_config_health *config, struct rs_storage *storage);
/* Runs every check for the first time, at once, and then in its interval. RS_E_IO: no thread can be had. */
rs_rc rs_health_start(struct rs_health *health, struct rs_err *err);
/* Stops the checks. False: one hangs (in the disk, mostly); what it uses must stay as it is, and the process should
 * end. NULL is fine. */
bool rs_health_free(struct rs_health **health);

/* One load: for every request. NULL: there is nothing that could fail. */
bool rs_health_ok(const struct rs_health *health);
/* Appends what fails as a JSON object of names and texts: "{}" when all is well. */
void rs_health_report(struct rs_health *health, struct rs_buf *out);
