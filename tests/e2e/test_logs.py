# SPDX-License-Identifier: Apache-2.0
"""The log: one wide event a request, as text and as JSON; the combined format."""

import json
import re
import shlex

import pytest

from lib import images, proc

pytestmark = pytest.mark.ours

REPO = "logged/app"
COMBINED = re.compile(r'(?P<host>\S+) - - \[(?P<time>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] '
                      r'"(?P<request>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"')


def parse_text(line):
    """key=value pairs as logrus writes them, quoted where needed."""
    return dict(part.split("=", 1) for part in shlex.split(line))


def get_manifest(server, made):
    server.api.push(made, REPO, "1")
    server.api.get(f"/v2/{REPO}/manifests/1", headers={"User-Agent": 'a "quoted" agent', "Accept": made.media_type})


def wait_for(server, condition):
    """The line that fits; a line may come a moment after the reply."""
    def find():
        return next((line for line in server.log_text().splitlines() if condition(line)), None)

    return proc.wait_until("the line is logged", find, server.daemon)


def assert_event(event, made):
    assert event["msg"] == "response completed" and event["level"] == "info"
    assert event["http.request.method"] == "GET"
    assert event["http.request.uri"] == f"/v2/{REPO}/manifests/1"
    assert int(event["http.response.status"]) == 200
    assert int(event["http.response.written"]) == len(made.manifest)
    assert event["http.request.remoteaddr"].startswith("127.0.0.1:")
    assert event["http.request.useragent"] == 'a "quoted" agent'
    assert event["http.request.id"] and event["http.response.duration"]
    assert event["vars.name"] == REPO and event["vars.digest"] == made.digest


@pytest.mark.parametrize("formatter, parse", [("text", parse_text), ("json", json.loads)], ids=["text", "json"])
def test_request_is_one_wide_event(start_server, formatter, parse):
    server = start_server(config={"log": {"formatter": formatter, "fields": {"service": "my registry"}}})
    made = images.image("logged")
    get_manifest(server, made)
    event = parse(wait_for(server, lambda line: "GET" in line and "/manifests/1" in line))
    assert_event(event, made)
    assert event["service"] == "my registry"
    for line in server.log_text().splitlines():
        parse(line)


def test_request_id_is_the_one_that_the_client_sees(start_server):
    server = start_server(config={"log": {"formatter": "json"}})
    reply = server.api.get("/v2/nothing/manifests/here").expect(404)
    event = json.loads(wait_for(server, lambda line: "/v2/nothing/manifests/here" in line))
    assert reply.headers["X-Request-Id"] == event["http.request.id"]
    assert event["http.response.status"] == 404


def test_combined_format_is_what_analysers_know(start_server):
    server = start_server(config={"roadstead": {"log": {"access": "combined"}}})
    made = images.image("logged")
    get_manifest(server, made)
    line = wait_for(server, lambda line: '"GET ' in line and "/manifests/1" in line)
    found = COMBINED.fullmatch(line.replace('\\"', "'"))
    assert found, line
    assert found["host"] == "127.0.0.1" and found["status"] == "200" and found["bytes"] == str(len(made.manifest))
    assert found["request"] == f"GET /v2/{REPO}/manifests/1 HTTP/1.1" and found["agent"] == "a 'quoted' agent"
    assert "response completed" not in server.log_text()


def test_access_events_can_be_left_out(start_server):
    server = start_server(config={"log": {"accesslog": {"disabled": True}}})
    get_manifest(server, images.image("logged"))
    server.stop()
    assert "/manifests/" not in server.log_text()


def test_level_hides_what_is_less_important(start_server):
    server = start_server(config={"log": {"level": "error"}})
    get_manifest(server, images.image("logged"))
    server.stop()
    assert server.log_text() == ""


def test_secrets_and_upload_states_are_not_logged(start_server):
    secret = "this-secret-is-in-no-log"
    server = start_server(config={"log": {"level": "debug"}, "http": {"secret": secret}})
    location = server.api.begin_upload(REPO)
    assert "_state=" in location
    server.api.patch(location, b"data").expect(202)
    server.stop()
    assert secret not in server.log_text()
    assert location.split("_state=")[1] not in server.log_text()
