# SPDX-License-Identifier: Apache-2.0
"""docker, podman and skopeo push, pull, delete and push again while the registry collects every second."""

import pytest

from lib.disk import Tree

pytestmark = pytest.mark.ours


def test_regular_traffic_while_the_registry_collects(beside):
    """Only in the part e2e-collect: the last test there, and the traffic has gone on beside all others."""
    beside.wait_for("three rounds and a collection", lambda client: client.rounds >= 3 and client.met_missing)
    beside.stop()
    beside.assert_well()
    print(beside)
    assert beside.verify_all() >= 6
    beside.server.stop()
    Tree(beside.server.root).assert_whole()
