# SPDX-License-Identifier: Apache-2.0
"""Tags and catalog, whole and page by page."""

import re

import pytest

from lib import images

NEXT = re.compile(r'<(?:http://[^/>]+)?([^>]+)>; rel="next"')
TAGS = ["1", "1.0", "10", "A", "a", "latest", "v1", "v10", "v2"]  # in byte order
REPOSITORIES = ["a", "a/b", "a/b/c", "a-b", "a.b", "b", "b0"]     # "/" sorts before everything


def pages(api, path, key):
    """Follows the Link headers."""
    found = []
    while path:
        reply = api.get(path).expect(200)
        found.append(reply.json()[key])
        link = NEXT.fullmatch(reply.headers["Link"] or "")
        path = link and link.group(1)
    return found


@pytest.fixture
def tagged(server):
    made = images.image("tagged")
    for tag in reversed(TAGS):
        server.api.push(made, "app", tag)
    return server


@pytest.fixture
def filled(server):
    made = images.image("filled")
    for repo in reversed(REPOSITORIES):
        server.api.push(made, repo, "1")
    return server


@pytest.mark.ours  # docker-registry sorts nothing and knows no pages here
def test_tags_page_by_page(tagged):
    assert tagged.api.tags("app") == TAGS
    assert pages(tagged.api, "/v2/app/tags/list?n=4", "tags") == [TAGS[:4], TAGS[4:8], TAGS[8:]]
    assert tagged.api.get("/v2/app/tags/list?last=latest").json()["tags"] == ["v1", "v10", "v2"]
    assert tagged.api.get("/v2/app/tags/list?n=2&last=bbb").json()["tags"] == ["latest", "v1"]
    assert tagged.api.get("/v2/app/tags/list?n=0").expect(200).json()["tags"] in ([], None)


def test_catalog_page_by_page(filled):
    assert filled.api.catalog() == REPOSITORIES
    found = pages(filled.api, "/v2/_catalog?n=3", "repositories")
    assert found == [REPOSITORIES[:3], REPOSITORIES[3:6], REPOSITORIES[6:]]
    assert filled.api.get("/v2/_catalog?n=2&last=a/b/c").json()["repositories"] == ["a-b", "a.b"]


def test_number_beyond_the_maximum_of_the_catalog_is_refused(filled):
    assert filled.api.get("/v2/_catalog?n=1001").expect(400).error_codes() == ["PAGINATION_NUMBER_INVALID"]


def test_repository_that_has_only_blobs_is_no_error(server):
    server.api.push_blob("only/blobs", b"data")
    assert server.api.get("/v2/only/blobs/tags/list").status in (200, 404)
    assert server.api.get("/v2/_catalog").expect(200)
