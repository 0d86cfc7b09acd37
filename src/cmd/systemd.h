/* SPDX-License-Identifier: Apache-2.0 */
/* systemd's protocols for a service, spoken by hand: sd_notify(3), sd_listen_fds(3). Without systemd they do nothing.
 */
#pragma once

#include "base/cc.h"

/* Sends a state ("READY=1") to NOTIFY_SOCKET. Nobody listening is no error. */
void rs_systemd_notify(const char *state);

#define RS_SYSTEMD_FIRST_FD 3
/* How many sockets we were given, from RS_SYSTEMD_FIRST_FD on. Takes the variables out of the environment. */
unsigned rs_systemd_sockets(void);
