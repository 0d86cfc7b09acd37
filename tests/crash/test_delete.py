# SPDX-License-Identifier: Apache-2.0
"""Deletes on the real server: at every moment, whatever a crash leaves, what was acknowledged to be gone stays gone, and
no tag leads to a manifest that is not there."""

import pytest

from lib import images
from recorder import descriptor
from recording import Recording
from test_push import assert_survives, acknowledged_at_end, is_noticed

FIRST = images.image("first", layers=2, size=2000)
SECOND = images.image("second", layers=1, size=2000)
FOURTH = images.image("fourth", layers=0, size=2000)
FIFTH = images.image("fifth", layers=0, size=2000)
THIRD = images.image("third", layers=0, size=2000)


def deletes_of_all_kinds(recording, api):
    recording.push_manifest(FIRST, "library/app", f"{FIRST.digest}?tag=v1&tag=v2", ["v1", "v2"])
    recording.push(FOURTH, "library/app", "v3")
    recording.push_manifest(SECOND, "library/app", "other", ["other"])
    recording.push(THIRD, "library/app", "moved")
    recording.push(FIFTH, "library/app", "moved")
    recording.push(FIRST, "elsewhere", "v1")
    blob = api.push_blob("blobs", b"a blob of nobody's")
    recording.delete("library/app", "tags", "v3")
    recording.delete("library/app", "manifests", FIRST.digest)  # v1 and v2 go with it
    recording.delete("library/app", "manifests", THIRD.digest)  # a past of "moved"
    recording.delete("blobs", "blobs", blob)
    recording.push_again(FIRST, "library/app", "v1")
    recording.delete("library/app", "manifests", FIRST.digest)
    recording.delete("library/app", "tags", "other")
    recording.push_again(SECOND, "library/app", "other")


@pytest.fixture(scope="module")
def deleted(tmp_path_factory):
    recording = Recording(tmp_path_factory.mktemp("deleted"))
    with recording.running() as api:
        deletes_of_all_kinds(recording, api)
    return recording


def test_every_kind_of_delete_survives(deleted):
    acknowledged = acknowledged_at_end(deleted)
    assert ("library/app", "tags", "v3") in acknowledged.gone
    assert ("library/app", SECOND.digest) in acknowledged.manifests
    assert ("library/app", FIRST.digest) not in acknowledged.manifests
    assert ("elsewhere", "v1") in acknowledged.tags and ("library/app", "moved") in acknowledged.tags
    assert assert_survives(deleted) > 1000


def syncs_of_deletes(recording):
    """Those between a delete's marker and its answer."""
    spans, began = [], None
    for time, _, acknowledged, just_now in recording.moments():
        if just_now and began is None and len(acknowledged.going) > len(acknowledged.gone):
            began = time
        elif just_now and began is not None:
            spans.append((began, time))
            began = None
    return [c for c in recording.calls if c.name == "fsync" and any(a < c.ended < b for a, b in spans)]


def test_a_forgotten_sync_would_be_noticed(deleted):
    """One is not: where a tag is removed and its manifest after it, the second look finds nothing to do."""
    syncs = syncs_of_deletes(deleted)
    noticed = [s for s in syncs if is_noticed(deleted, s)]
    assert len(syncs) >= 6
    assert len(noticed) >= len(syncs) / 2, [s.args for s in syncs if s not in noticed]
    directories = [descriptor(s.args[0])[1] for s in noticed]
    for part in ("/tags", "/revisions", "/_layers"):
        assert any(part in directory for directory in directories), directories
