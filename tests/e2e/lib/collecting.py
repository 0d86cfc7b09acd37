# SPDX-License-Identifier: Apache-2.0
"""Servers that collect garbage all the time, and what lies there made old, so that nobody has to wait for it."""

import os
import time

from . import proc
from .disk import Tree

# The whole suite with collection going on in every server (the part e2e-collect of script/test).
ALWAYS = os.environ.get("ROADSTEAD_E2E_COLLECT") == "1"
GRACE = 10  # seconds; longer than any client here takes from a blob to its manifest
HOUR = 3600

# What does not run in that part, and why.
LEFT_OUT = {  # file: why
    "test_churn.py": "its servers collect all the time already",
    "test_collection.py": "it runs collections of its own, and one goes on at a time",
    "test_collection_traffic.py": "its servers collect all the time already",
}


def collection(grace=GRACE, **more):
    """The configuration of a server that collects every second."""
    return {"roadstead": {"collection": {"enabled": True, "interval": "1s", "grace": f"{grace}s", **more}}}


def links(server, repository="**"):
    """Every link of layers and revisions below a repository."""
    base = Tree(server.root).base / "repositories"
    return [path for kind in ("_layers", "_manifests/revisions") for path in base.glob(f"{repository}/{kind}/*/*/link")]


def blobs(server):
    return list(Tree(server.root).base.glob("blobs/*/*/*/data"))


def make_old(server, seconds=HOUR):
    """As if nobody had touched anything for so long. What is in use at this moment must not be made old."""
    then = time.time() - seconds
    for path in links(server) + blobs(server):
        os.utime(path, (then, then))


def wait_until_gone(server, digests, seconds=60):
    """The collector has taken the data of them all."""
    tree = Tree(server.root)
    paths = {tree.blob_path(digest) for digest in digests}
    proc.wait_until(f"{len(paths)} blobs are collected", lambda: not any(p.exists() for p in paths), server.daemon, seconds)


def present(server, digests):
    tree = Tree(server.root)
    return {digest for digest in digests if tree.blob_path(digest).exists()}
