# SPDX-License-Identifier: Apache-2.0
"""Which manifest a client gets for what it accepts. The tests without a mark hold for docker-registry as well."""

import pytest

from lib import images
from lib.client import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

ours = pytest.mark.ours
ALL = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))


@pytest.fixture
def stored(server):
    made = {
        "oci": images.image("n/oci"), "docker": images.image("n/docker", docker=True),
        "index": images.index("n/index"), "list": images.index("n/list", docker=True),
    }
    for tag, image in made.items():
        server.api.push(image, "app", tag)
    return made


def get(server, reference, *accept, method="GET", **headers):
    """Each Accept is a line of its own."""
    connection = server.api.connect()
    connection.putrequest(method, f"/v2/app/manifests/{reference}")
    for line in accept:
        connection.putheader("Accept", line)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply, body


def assert_served(server, reference, image, *accept, vary=None):
    for method in ("GET", "HEAD"):
        reply, body = get(server, reference, *accept, method=method)
        assert reply.status == 200, (reference, accept, body)
        assert reply.headers["Docker-Content-Digest"] == image.digest
        assert reply.headers["Content-Type"] == image.media_type
        assert reply.headers["Etag"] == f'"{image.digest}"'
        assert int(reply.headers["Content-Length"]) == len(image.manifest)
        assert body == (image.manifest if method == "GET" else b"")
        if vary is not None:
            assert reply.headers["Vary"] == (vary or None)


def assert_hidden(server, reference, *accept):
    for method in ("GET", "HEAD"):
        reply, body = get(server, reference, *accept, method=method)
        assert reply.status == 404, (reference, accept)
        assert b"MANIFEST_UNKNOWN" in body or method == "HEAD"


def test_what_is_accepted_is_served_as_it_is(server, stored):
    for tag, image in stored.items():
        assert_served(server, tag, image, ALL)
        assert_served(server, tag, image, *ALL.split(", "))
        assert_served(server, tag, image, image.media_type)
        assert_served(server, tag, image, f"text/plain, {image.media_type};q=0.5")


@ours  # docker-registry has them for nothing but schema 1
@pytest.mark.parametrize("accept", [(), ("*/*",), ("application/*",), ("text/html", "*/*;q=0.1"), ("",)])
def test_a_client_without_a_preference_gets_what_is_stored(server, stored, accept):
    for tag, image in stored.items():
        assert_served(server, tag, image, *accept)


def test_docker_list_for_a_client_that_knows_single_images(server, stored):
    amd64 = next(c for c in stored["list"].children if b'"amd64"' in b"".join(c.blobs.values()))
    assert_served(server, "list", amd64, DOCKER_MANIFEST)
    assert_served(server, "list", amd64, OCI_MANIFEST, DOCKER_MANIFEST)
    assert_served(server, stored["list"].digest, stored["list"], DOCKER_MANIFEST)


@ours  # docker-registry sends no Vary
def test_vary_says_where_accept_made_a_difference(server, stored):
    assert_served(server, "list", stored["list"], ALL, vary="Accept")
    assert_served(server, "list", stored["list"].children[0], DOCKER_MANIFEST, vary="Accept")
    assert_served(server, "oci", stored["oci"], ALL, vary="")
    assert_served(server, "docker", stored["docker"], ALL, vary="")
    assert_served(server, stored["list"].digest, stored["list"], ALL, vary="")
    assert get(server, "oci", DOCKER_MANIFEST)[0].headers["Vary"] == "Accept"


def test_the_child_has_its_own_etag(server, stored):
    child = stored["list"].children[0]
    reply, body = get(server, "list", DOCKER_MANIFEST)
    assert body == child.manifest
    reply, body = get(server, child.digest, DOCKER_MANIFEST, If_None_Match=reply.headers["Etag"])
    assert (reply.status, body) == (304, b"")


@ours  # docker-registry compares with the list before it chooses
def test_not_modified_is_about_what_would_be_sent(server, stored):
    child = stored["list"].children[0]
    reply, _ = get(server, "list", DOCKER_MANIFEST, If_None_Match=f'"{child.digest}"')
    assert reply.status == 304 and reply.headers["Etag"] == f'"{child.digest}"' and reply.headers["Vary"] == "Accept"
    assert get(server, "list", DOCKER_MANIFEST, If_None_Match=f'"{stored["list"].digest}"')[0].status == 200


def test_docker_list_without_the_platform(server):
    made = images.index("n/arm", docker=True, architectures=("arm64", "s390x"))
    server.api.push(made, "app", "arm")
    assert_hidden(server, "arm", DOCKER_MANIFEST)
    assert_served(server, "arm", made, DOCKER_LIST)


def test_oci_types_do_not_exist_for_who_does_not_know_them(server, stored):
    assert_hidden(server, "oci", DOCKER_MANIFEST)
    assert_hidden(server, "oci", OCI_INDEX, DOCKER_LIST)
    assert_hidden(server, "index", DOCKER_LIST)
    assert_hidden(server, "index", OCI_MANIFEST)
    assert_hidden(server, "index", "application/json")
    assert get(server, "oci", DOCKER_MANIFEST)[0].status == 404


@ours
def test_the_refusal_names_the_type_and_the_digest(server, stored):
    _, body = get(server, "index", DOCKER_LIST)
    assert OCI_INDEX in body.decode() and stored["index"].digest in body.decode()


@ours  # docker-registry hides OCI's types by digest too
def test_by_digest_those_very_bytes_are_served(server, stored):
    for image in stored.values():
        for accept in (DOCKER_MANIFEST, OCI_INDEX, "text/plain", f"{image.media_type};q=0"):
            assert_served(server, image.digest, image, accept)


@ours  # docker-registry does not look at weights, and makes a schema 1
def test_weights_of_zero(server, stored):
    assert_hidden(server, "oci", f"{OCI_MANIFEST};q=0, */*")
    assert_served(server, "list", stored["list"].children[0], f"{DOCKER_LIST};q=0, {DOCKER_MANIFEST}")
    assert_served(server, "docker", stored["docker"], f"{DOCKER_MANIFEST};q=0")
