/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API: /v2/ as the OCI distribution specification 1.1 and registry:2 have it. Makes the table of routes and the
 * callbacks that the HTTP server needs; docs/API.md lists what a client sees. Everything here is immutable once the
 * server runs, so any of its threads may use it.
 */
#pragma once

#include "config/config.h"
#include "events/events.h"
#include "health/health.h"
#include "http/server.h"
#include "registry/registry.h"

struct rs_api;

/* Borrows config for its lifetime. RS_E_CONFIG if http.headers or http.host cannot stand in a reply. */
rs_rc rs_api_new(const struct rs_config *config, struct rs_api **out, struct rs_err *err);
void rs_api_free(struct rs_api **api); /* after the server */
/* The registry to serve, borrowed. Before the server starts. */
void rs_api_attach(struct rs_api *api, struct rs_registry *registry);
/* Where events go, borrowed; NULL: nowhere. Before the server starts. */
void rs_api_attach_events(struct rs_api *api, struct rs_events *events);
/* What /healthz tells of, and what stops requests while it fails; borrowed. Before the server starts. */
void rs_api_attach_health(struct rs_api *api, struct rs_health *health);
/* Writes answer 405, or are served again; requests that are running end as they began. At first as configured. */
void rs_api_set_read_only(struct rs_api *api, bool read_only);
bool rs_api_is_read_only(const struct rs_api *api);
/* From now on /healthz says that no more requests should come. */
void rs_api_stopping(struct rs_api *api);
/* Sets routes, ctx and callbacks; the limits are the caller's. Borrows api. */
void rs_api_http(struct rs_api *api, struct rs_http_config *out);
