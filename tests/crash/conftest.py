# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the crash tests. docs/TESTING.md says what they prove."""

import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))  # its client, images and servers


@pytest.fixture
def work():
    """A fresh directory, gone after the test."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="rs-crash-"))
    yield path
    shutil.rmtree(path)
