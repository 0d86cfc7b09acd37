# SPDX-License-Identifier: Apache-2.0
"""Hours of pushes, deletes, mounts and pushes again, squeezed into a minute, with collection running all the time: what
was acknowledged is whole, at every moment and at the end, and what nothing needs is gone. ROADSTEAD_CHURN_SECONDS says
how long (script/churn), ROADSTEAD_CHURN_SEED repeats a run, as far as threads can be repeated."""

import os
import random
import re
import time

import pytest

from lib import churn, proc
from lib.disk import Tree
from lib.server import ROADSTEAD

pytestmark = pytest.mark.ours  # docker-registry does not collect while it serves
SECONDS = float(os.environ.get("ROADSTEAD_CHURN_SECONDS", "18"))
SEED = os.environ.get("ROADSTEAD_CHURN_SEED") or str(random.SystemRandom().randrange(10**9))
CLIENTS = 8


def config(grace, untagged):
    collection = {"enabled": True, "interval": "1s", "grace": grace, "delete_untagged": untagged}
    return {"roadstead": {"collection": collection}, "log": {"level": "info", "formatter": "json"}}


def removed(servers):
    """What the servers' collections report in their logs."""
    text = "".join(server.log_text() for server in servers)
    return {key: sum(map(int, re.findall(rf'"{re.escape(key)}":"?(\d+)', text)))
            for key in ("removed.manifests", "removed.links", "removed.blobs", "freed", "spared")}


def collect_offline(server, untagged):
    flags = ["-m"] if untagged else []
    return proc.run(ROADSTEAD, "garbage-collect", *flags, server.config_file, env=server.env)


def assert_only_needed(root, needed, untagged):
    """Without a server there is no grace: what no manifest needs is gone; with -m only what has a tag is there."""
    tree = Tree(root)
    revisions = {digest for _, _, digest in tree.links("_manifests/revisions/*/*")}
    named = set(revisions)
    for digest in revisions:
        named |= set(re.findall(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", tree.blob_path(digest).read_text()))
    left = tree.blob_digests()
    assert left <= named, f"{len(left - named)} blobs are left that nothing needs: {sorted(left - named)[:3]}"
    assert needed <= left, f"lost: {sorted(needed - left)[:3]}"
    links = {(repository, digest) for repository, _, digest in tree.links("_layers/*/*")}
    assert {digest for _, digest in links} <= named
    if untagged:
        assert revisions <= needed, f"{len(revisions - needed)} manifests without a tag are left"


@pytest.mark.parametrize("untagged", (False, True), ids=("tags", "untagged-goes"))
def test_churn(start_server, untagged):
    print(f"ROADSTEAD_CHURN_SEED={SEED} ROADSTEAD_CHURN_SECONDS={SECONDS}")
    first = start_server(config=config("3s", untagged))
    second = start_server(root=first.root, name="second", config=config("4s", untagged))
    apis, counts = (first.api, second.api), churn.Counts()
    clients = [churn.Client(apis, n, f"{SEED}/{untagged}", counts, untagged) for n in range(CLIENTS)]
    flags = ["-m"] if untagged else []
    collector = churn.Collector([ROADSTEAD, "garbage-collect", *flags, first.config_file], first.env, SEED, counts)
    with churn.running([collector]):
        with churn.running(clients):
            end = time.monotonic() + SECONDS
            while time.monotonic() < end and not any(client.failure for client in clients):
                time.sleep(0.1)
        for client in clients:
            client.check_everything(client.api)
    took = removed((first, second))
    report(counts, took, clients)
    for server in (first, second):
        server.stop()
    collect_offline(first, untagged)  # may have gone on with what one that was killed had planned
    collect_offline(first, untagged)
    needed = set().union(*(client.needed() for client in clients))
    assert_only_needed(first.root, needed, untagged)
    first.start()
    for client in clients:
        client.check_everything(first.api)
    pushes = counts["manifests pushed"]
    assert pushes > SECONDS * 5, "the load did not get through: nothing was proven"
    assert took["removed.links"] + took["removed.manifests"] + took["removed.blobs"] > SECONDS * 10
    assert took["freed"] > 0
    assert counts["pushes refused for a missing blob"] <= pushes / 20


def report(counts, took, clients):
    for what, count in sorted((*counts.items(), *took.items())):
        print(f"{count:9} {what}")
    print(f"{sum(len(client.tags) + len(client.digests) for client in clients):9} acknowledged and verified at the end")
