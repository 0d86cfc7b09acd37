# SPDX-License-Identifier: Apache-2.0
"""script/lint on a small house with one thing wrong at a time: each check can fail, and says where."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "script/lib"))

import csource  # noqa: E402  (after the path is set)
import unit  # noqa: E402

SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"


@pytest.fixture
def house(tmp_path):
    """The scripts with two folders of sources; git knows nothing yet, so every file counts."""
    shutil.copytree(ROOT / "script", tmp_path / "script", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".clang-format", ".clang-tidy"):
        shutil.copy(ROOT / name, tmp_path / name)
    write(tmp_path, "src/base/banned.h", SPDX + "#pragma once\n")
    write(tmp_path, "src/oci/digest.h", SPDX + "#pragma once\n\nint rs_digest(int a);\n")
    write(tmp_path, "src/oci/secret.h", SPDX + "#pragma once\n\nint secret(int a);\n")
    write(tmp_path, "src/registry/registry.h", SPDX + "#pragma once\n\nint rs_registry(int a);\n")
    for name in ("script/lib/include-graph.txt", "docs/ARCHITECTURE.md"):
        write(tmp_path, name, "registry -> oci | registry.h\noci -> | digest.h\nbase ->\ntbl ->\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def write(house, name, content):
    (house / name).parent.mkdir(parents=True, exist_ok=True)
    (house / name).write_text(content)


def lint(house, check):
    """(whether it is good, its lines)."""
    done = subprocess.run([house / "script/lint", check], capture_output=True, text=True)
    return done.returncode == 0, done.stdout


WRONG = {  # check → (file, content, what is said)
    "format": ("src/oci/a.c", SPDX + "int  a;\n", "src/oci/a.c:2"),
    "blanks": ("src/oci/a.c", SPDX + "int a; \n", "src/oci/a.c:2: trailing blanks"),
    "spdx": ("src/oci/a.c", "int a;\n", "src/oci/a.c:1"),
    "paths": ("src/oci/a.c", SPDX + "/* see " + "/ho" + "me/somebody/x */\n", "src/oci/a.c:2"),
    "addresses": ("tests/x.py", "get('http" + "://registry.company.com/')\n", "tests/x.py:1"),
    "include-graph": ("src/oci/a.c", SPDX + '#include "registry/registry.h"\n', "src/oci/a.c:2: oci may not include registry"),
    "include-circles": ("src/oci/secret.h", SPDX + '#pragma once\n#include "oci/secret.h"\n', "headers in a circle"),
    "headers-alone": ("src/oci/a.h", SPDX + "#pragma once\n\nsize_t a(void);\n", "src/oci/a.h:4"),
    "length": ("src/oci/a.c", SPDX + "int f(int a)\n{\n" + "    a++;\n" * 80 + "    return a;\n}\n", "f has 84 lines"),
    "complexity": ("src/oci/a.c", SPDX + "int f(int a)\n{\n" + "    if (a)\n        a++;\n" * 15 + "    return a;\n}\n",
                   "src/oci/a.c:2: f has a complexity of 16"),
    "banned": ("src/oci/a.c", SPDX + "int f(void)\n{\n    /* malloc( */\n    return rand();\n}\n", "src/oci/a.c:5: rand"),
    "error-table": ("src/tbl/errors.def", SPDX + 'RS_ERR(NEW, 500, "UNKNOWN", "x")\n', "NEW of src/tbl/errors.def is missing"),
    "links": ("docs/a.md", "see [b](b.md) and `script/nothing`\n", "docs/a.md:1: no such file: b.md"),
    "shell": ("script/a", "#!/bin/bash\nrm $1\n", "script/a:1: no 'set -eu'"),
    "python": ("tests/x.py", "import os\n", "tests/x.py:1: os is imported and not used"),
    "no-skips": ("tests/x.py", "import pytest\n@pytest.mark." + "skip\ndef test_x(): pass\n", "tests/x.py:2"),
    "clang-tidy": ("src/oci/a.c", SPDX + "int f(int a);\nint f(int a)\n{\n    int b;\n    return a ? b : 0;\n}\n", "src/oci/a.c:6"),
}


@pytest.mark.parametrize("check", WRONG)
def test_a_check_finds_what_is_wrong(house, check):
    name, content, said = WRONG[check]
    write(house, "src/tbl/errors.def", SPDX)
    write(house, "docs/ERRORS.md", "none\n")
    good, lines = lint(house, check)
    assert good, lines
    write(house, name, content)
    good, lines = lint(house, check)
    assert not good and said in lines, lines
    good, lines = lint(house, check)
    assert not good and said in lines, "what is wrong is not remembered as good"


def test_private_headers_are_private(house):
    write(house, "src/registry/a.c", SPDX + '#include "oci/digest.h"\n#include "oci/secret.h"\n')
    good, lines = lint(house, "include-graph")
    assert not good and 'src/registry/a.c:3: "oci/secret.h" is private to oci' in lines
    assert "a.c:2" not in lines


def test_a_changed_header_is_looked_at_again(house):
    write(house, "src/oci/a.h", SPDX + '#pragma once\n\n#include "oci/secret.h"\n')
    assert lint(house, "headers-alone")[0]
    write(house, "src/oci/secret.h", SPDX + "#pragma once\n\nsize_t secret(void);\n")
    good, lines = lint(house, "headers-alone")
    assert not good and "secret.h:4" in lines


C = r"""
#define LOOP(x) for (;;) { if (x) { }
struct s { int a; };
static const char *text = "{ if (";
static int plain(int a)
{
    return a; /* if while { */
}

RS_PRINTF(1, 2)
static void many(struct s *s,
                 int (*call)(int))
{
    for (int i = 0; i < 3 && s; i++)
        switch (call('{')) {
        case 1:
        case 2:
            break;
        default:
            while (i || 0)
                break;
        }
}
int table[] = {1, 2};
"""


def test_functions_are_measured():
    found = {f.name: f for f in csource.functions(C)}
    assert sorted(found) == ["many", "plain"]
    assert (found["plain"].line, found["plain"].lines, found["plain"].complexity) == (5, 4, 1)
    assert found["many"].complexity == 1 + 5  # for, &&, the two cases as one, while, ||
    assert found["many"].line == 10


@pytest.mark.parametrize("output, code, counted", [
    ("[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[       OK ] b\n", 0, (2, 0)),
    ("[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  FAILED  ] b\n[  FAILED  ] b\n", 1, (1, 1)),
    ("[ RUN      ] a\n[  SKIPPED ] a\n", 0, (0, 1)),
    ("[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n", -11, (1, 1)),
    ("[ RUN      ] a\n[       OK ] a\nERROR: LeakSanitizer: detected memory leaks\n", 99, (1, 1)),
    ("[ RUN      ] a\n[       OK ] a\nWARNING: ThreadSanitizer: data race\n", 0, (1, 1)),
    ("", 0, (0, 1)),
])
def test_cases_are_counted(output, code, counted):
    assert unit.cases(output, code, True) == counted
