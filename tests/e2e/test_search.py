# SPDX-License-Identifier: Apache-2.0
"""Searching, for people: /v2/_roadstead/search, an extension of ours."""

import datetime
import re

import pytest

from lib import images

NEXT = re.compile(r'<([^>]+)>; rel="next"')


def search(api, query, n=25):
    """All rows, page by page, and how many pages there were."""
    rows, pages, path = [], 0, f"/v2/_roadstead/search?q={query}&n={n}"
    while path:
        reply = api.get(path).expect(200)
        rows += reply.json()["results"]
        pages += 1
        link = NEXT.fullmatch(reply.headers["Link"] or "")
        path = link and link.group(1)
    return rows, pages


def names(rows):
    return [row["repository"] + (":" + row["tag"] if "tag" in row else "") for row in rows]


@pytest.fixture
def filled(server):
    server.api.push(images.image("one"), "team/app", "1.0")
    server.api.push(images.image("two"), "team/app", "1.1")
    server.api.push(images.index("many"), "team/web", "1.0")
    server.api.push(images.image("three", docker=True), "app", "latest")
    return server


def test_repositories_and_tags_are_found_by_part_of_a_name(filled):
    assert names(search(filled.api, "app")[0]) == ["app", "team/app"]
    assert names(search(filled.api, "1.0")[0]) == ["team/app:1.0", "team/web:1.0"]
    assert names(search(filled.api, "app:1")[0]) == ["team/app:1.0", "team/app:1.1"]
    assert names(search(filled.api, "LATE")[0]) == ["app:latest"]
    assert search(filled.api, "not-there") == ([], 1)


def test_a_found_tag_tells_size_push_time_and_platforms(filled):
    image = images.image("one")
    ((row,), _) = search(filled.api, "team/app:1.0")
    pushed = datetime.datetime.fromisoformat(row.pop("pushed").replace("Z", "+00:00"))
    assert abs(datetime.datetime.now(datetime.timezone.utc) - pushed) < datetime.timedelta(minutes=5)
    assert row == {"repository": "team/app", "tag": "1.0", "digest": image.digest, "mediaType": image.media_type,
                   "size": len(image.manifest) + sum(map(len, image.blobs.values())), "platforms": ["linux/amd64"]}


def test_an_index_tells_all_its_platforms_and_the_size_of_all_its_images(filled):
    index = images.index("many")
    ((row,), _) = search(filled.api, "web:")
    assert row["platforms"] == ["linux/amd64", "linux/arm64", "linux/s390x"]
    parts = [index, *index.children]
    assert row["size"] == sum(len(p.manifest) + sum(map(len, p.blobs.values())) for p in parts)


@pytest.mark.parametrize("n", [1, 2, 3, 100])
def test_pages_make_the_whole(filled, n):
    rows, pages = search(filled.api, "", n)
    assert names(rows) == ["app", "team/app", "team/web", "app:latest", "team/app:1.0", "team/app:1.1", "team/web:1.0"]
    assert pages in (-(-7 // n), 7 // n + 1)


@pytest.mark.parametrize("query, code", [
    ("q=" + 400 * "x", "NAME_INVALID"),
    ("q=a&n=many", "PAGINATION_NUMBER_INVALID"),
    ("q=a&last=UPPER%3Atag", "NAME_INVALID"),
    ("q=a&last=app%3A..", "TAG_INVALID"),
])
def test_what_is_malformed_is_refused(filled, query, code):
    assert filled.api.get(f"/v2/_roadstead/search?{query}").expect(400).error_codes() == [code]


def test_what_a_second_process_pushed_is_found_at_once(filled, second_server):
    assert names(search(filled.api, "fresh")[0]) == []
    second_server.api.push(images.image("fresh"), "fresh/one", "1")
    assert names(search(filled.api, "fresh")[0]) == ["fresh/one"]
