# SPDX-License-Identifier: Apache-2.0
"""The checks of script/lint. A check is a function that returns (how much it looked at, [findings "file:line: text"])."""

import ast
import concurrent.futures
import fnmatch
import functools
import hashlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

import csource

ROOT = pathlib.Path.cwd()
LIB = ROOT / "script" / "lib"
CACHE = ROOT / "build" / "lint"
MAX_FUNCTION, MAX_FILE, MAX_COMPLEXITY, MAX_PUBLIC = 80, 1000, 15, 5
FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", '-DRS_VERSION="0"', "-Isrc", "-include", "src/base/banned.h"]
# One function at a time: across functions the analyser takes our error helpers for ones that may return RS_OK.
ANALYSER = ["-Xclang", "-analyzer-config", "-Xclang", "ipa=none"]
SPDX = "SPDX-License-Identifier: Apache-2.0"

CHECKS = {}


def check(function):
    CHECKS[function.__name__.replace("_", "-")] = function
    return function


# ---- files ----


@functools.lru_cache(None)
def files():
    """Every file of the project: what git knows or would take; without git, all but build/."""
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if done.returncode == 0:
        names = done.stdout.splitlines()
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if not {"build", ".git"} & set(p.parts)]
    return sorted(n for n in names if (ROOT / n).is_file() and not (ROOT / n).is_symlink())


@functools.lru_cache(None)
def text(name):
    return (ROOT / name).read_text(errors="replace")


@functools.lru_cache(None)
def code(name):
    return csource.code_only(text(name))


def matching(*patterns):
    return [n for n in files() if any(fnmatch.fnmatch(n, p) for p in patterns)]


def c_files():
    return matching("*.c", "*.h")


def is_data(name):
    """What tests read byte for byte: nobody's style applies."""
    return "/corpus/" in name or "/data/" in name or name == "LICENSE"


def shebang(name, what):
    with open(ROOT / name, "rb") as f:
        return re.match(rb"#!.*\b(" + what + rb")\b", f.readline(200)) is not None


@functools.lru_cache(None)
def shell_files():
    return [n for n in files() if not is_data(n) and (n.endswith((".sh", ".bash")) or shebang(n, rb"sh|bash"))]


def python_files():
    return [n for n in files() if n.endswith(".py") or (not is_data(n) and shebang(n, rb"python3?"))]


def lines_matching(names, pattern, message):
    found = []
    for name in names:
        for number, line in enumerate(text(name).split("\n"), 1):
            match = pattern.search(line)
            if match:
                found.append(f"{name}:{number}: {message}: {match.group().strip() or 'blank'}")
    return found


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, errors="replace", **more)


# ---- remembering what was good ----


@functools.lru_cache(None)
def closure(name):
    """The file and what it includes from src/, all the way."""
    seen, todo = set(), [name]
    while todo:
        at = todo.pop()
        if at in seen or not (ROOT / at).is_file():
            continue
        seen.add(at)
        for _, path in csource.includes(text(at)):
            todo += [f"src/{path}", str(pathlib.PurePath(at).parent / path)]
    return sorted(seen)


@functools.lru_cache(None)
def version(tool):
    return run([tool, "--version"]).stdout


def good_before(kind, name, *basis):
    """The marker of this very state; it is there if the state was good."""
    state = hashlib.sha256()
    for part in (name, *basis, *(text(n) for n in closure(name))):
        state.update(part.encode())
        state.update(b"\0")
    return CACHE / kind / state.hexdigest()


def each_unless_good(kind, names, basis, look):
    """look(name) for each file that was not good before, two at a time; its findings."""

    def one(name):
        marker = good_before(kind, name, *basis)
        if marker.exists():
            os.utime(marker)
            return []
        found = look(name)
        if not found:
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        return found

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        return [finding for found in pool.map(one, names) for finding in found]


def forget_old():
    for marker in CACHE.glob("*/*"):
        if time.time() - marker.stat().st_mtime > 14 * 86400:
            marker.unlink(missing_ok=True)


def complaints(done, what):
    """The lines of a compiler's output that name a place; the last lines if none does."""
    output = (done.stdout + done.stderr).replace(str(ROOT) + "/", "").replace("../../", "")
    found = re.findall(r"^(\S+?:\d+:(?:\d+:)? (?:fatal )?(?:error|warning): .*)$", output, re.M)
    if done.returncode == 0 and not found:
        return []
    return list(dict.fromkeys(found)) or [f"{what}: {line}" for line in output.strip().split("\n")[-15:]]


# ---- form ----


@check
def format():
    names = [n for n in c_files() if not is_data(n)]

    def look(name):
        done = run(["clang-format", "--dry-run", "--Werror", name])
        first = re.search(r":(\d+):", done.stderr)
        if done.returncode == 0:
            return []
        return [f"{name}:{first.group(1) if first else 1}: clang-format would change it (clang-format -i {name})"]

    return len(names), each_unless_good("format", names, [version("clang-format"), text(".clang-format")], look)


@check
def blanks():
    names = [n for n in files() if not is_data(n) and b"\0" not in (ROOT / n).read_bytes()]
    found = lines_matching(names, re.compile(r"[ \t\r]+$"), "trailing blanks")
    for name in names:
        if text(name) and not text(name).endswith("\n"):
            found.append(f"{name}:{text(name).count(chr(10)) + 1}: no end of line at the end of the file")
        if text(name).endswith("\n\n"):
            found.append(f"{name}:{text(name).count(chr(10))}: blank line at the end of the file")
    return len(names), found


@check
def spdx():
    named = matching("*.c", "*.h", "*.def", "*.py", "*.vtc", "*meson.build", "meson_options.txt")
    names = sorted(n for n in {*named, *shell_files(), *python_files()} if not is_data(n))
    bad = [n for n in names if SPDX not in "\n".join(text(n).split("\n")[:4])]
    return len(names), [f"{n}:1: no '{SPDX}' in the first lines" for n in bad]


@check
def paths():
    """Nothing names a place on somebody's machine, or outside the repository."""
    names = [n for n in files() if not is_data(n)]
    found = lines_matching(names, re.compile(r"(?<![\w.}\])*-])/(?:work|home|Users)/[\w.]+"), "path of a machine")
    climb = re.compile(r"(?<![\w/.$}])(?:\.\./)+(?!\.\./)[\w.][\w./-]*")
    for name in matching("*.md", "script/*", "bench/*", "packaging/*", ".ci/*", "*meson.build", "src/*"):
        for number, line in enumerate(text(name).split("\n"), 1):
            for path in climb.findall(line):
                place = (ROOT / name).parent.joinpath(path).resolve()
                if ROOT not in place.parents or not place.exists():
                    found.append(f"{name}:{number}: leads out of the repository, or nowhere: {path}")
    return len(names), found


@check
def addresses():
    """Scripts and tests reach no address but this machine's; what they need comes from Debian's apt."""
    names = [n for n in matching("script/*", ".ci/*", "tests/*", "bench/*", "*meson.build") if not is_data(n)]
    here = r"127\.|localhost\b|0\.0\.0\.0|[\w.-]*\b(?:example|invalid|test)\b"
    pattern = re.compile(r"https?://(?!" + here + r")[\w.-]+\.[\w.-]+")
    return len(names), lines_matching(names, pattern, "address of another machine")


# ---- structure ----


@functools.lru_cache(None)
def graph():
    """folder → (folders that it may include, its public headers), and the lines as they stand."""
    table, lines = {}, []
    for line in (LIB / "include-graph.txt").read_text().split("\n"):
        if not line.strip() or line.startswith("#"):
            continue
        folder, rest = line.split(" ->")
        allowed, _, public = rest.partition("|")
        table[folder] = [{w.strip() for w in part.split(",") if w.strip()} for part in (allowed, public)]
        lines.append(line)
    return table, lines


def folder_of(name):
    """The folder of src/ that a file belongs to; a unit test belongs to the folder that it tests."""
    parts = pathlib.PurePath(name).parts
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else "main"
    return parts[2] if parts[:2] == ("tests", "unit") and len(parts) > 3 else None


def bad_include(table, name, path):
    """What is wrong with this include, or None."""
    own, (to, _, header) = folder_of(name), path.partition("/")
    if not header or path.startswith("../"):  # tests share helpers
        beside = name.startswith("tests/") and (ROOT / name).parent.joinpath(path).is_file()
        return None if beside else f'"{path}": write "folder/header.h"'
    if not (ROOT / "src" / path).is_file():
        return f'"{path}": there is no src/{path}'
    if to in (own, "tbl"):
        return None
    if to not in table:
        return f"{to}: this folder does not stand in script/lib/include-graph.txt"
    if name.startswith("src/") and to not in table[own][0] | {"base", "metrics"}:
        return f"{own} may not include {to}"
    if own == "base" and to != "base":
        return f"base may not include {to}"
    if to != "base" and header not in table[to][1] and own is not None:
        return f'"{path}" is private to {to}'
    return None


@check
def include_graph():
    table, lines = graph()
    names = [n for n in c_files() if n.startswith(("src/", "tests/"))]
    found = []
    for name in names:
        if name.startswith("src/") and folder_of(name) not in table:
            found.append(f"{name}:1: src/{folder_of(name)} does not stand in script/lib/include-graph.txt")
            continue
        for line, path in csource.includes(text(name)):
            wrong = bad_include(table, name, path)
            found += [f"{name}:{line}: {wrong}"] if wrong else []
    for folder, (_, public) in table.items():
        if len(public) > MAX_PUBLIC:
            found.append(f"script/lib/include-graph.txt:1: {folder} has more than {MAX_PUBLIC} public headers")
        if (ROOT / "src" / folder).is_dir() and any((ROOT / "src" / folder).glob("*.h")):
            gone = [h for h in public if not (ROOT / "src" / folder / h).is_file()]
            found += [f"script/lib/include-graph.txt:1: there is no src/{folder}/{h}" for h in gone]
    architecture = text("docs/ARCHITECTURE.md") if (ROOT / "docs/ARCHITECTURE.md").is_file() else ""
    missing = [line for line in lines if line not in architecture.split("\n")]
    if missing:
        found.append(f"docs/ARCHITECTURE.md:1: lacks {len(missing)} lines of script/lib/include-graph.txt, first: {missing[0]}")
    return len(names), found


def circles(edges):
    """Each circle once, as a list of nodes."""
    found, state, way = [], {}, []

    def visit(node):
        state[node] = 1
        way.append(node)
        for to in sorted(edges.get(node, ())):
            if state.get(to) == 1:
                found.append(way[way.index(to) :] + [to])
            elif to not in state:
                visit(to)
        way.pop()
        state[node] = 2

    for node in sorted(edges):
        if node not in state:
            visit(node)
    return found


@check
def include_circles():
    headers, folders = {}, {}
    for name in matching("src/*.c", "src/*.h"):
        for _, path in csource.includes(text(name)):
            if name.endswith(".h"):
                headers.setdefault(name[4:], set()).add(path)
            if path.split("/")[0] != folder_of(name):
                folders.setdefault(folder_of(name), set()).add(path.split("/")[0])
    table = {folder: allowed for folder, (allowed, _) in graph()[0].items()}
    found = [f"src/{c[0]}:1: headers in a circle: {' -> '.join(c)}" for c in circles(headers)]
    found += [f"src/{c[0]}:1: folders in a circle: {' -> '.join(c)}" for c in circles(folders)]
    found += [f"script/lib/include-graph.txt:1: circle: {' -> '.join(c)}" for c in circles(table)]
    return len(headers), found


@check
def headers_alone():
    names = matching("src/*.h")

    def look(name):
        return complaints(run(["gcc", *FLAGS, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c",
                               "-include", name, "/dev/null"]), name)

    found = each_unless_good("headers", names, [version("gcc"), *FLAGS, text("src/base/banned.h")], look)
    found += [f"{n}:1: no #pragma once" for n in names if "#pragma once\n" not in text(n)]
    return len(names), found


@check
def length():
    found, count = [], 0
    for name in [*c_files(), *python_files(), *shell_files()]:
        lines = text(name).count("\n")
        count += 1
        if lines > MAX_FILE and not is_data(name):
            found.append(f"{name}:{MAX_FILE}: {lines} lines; {MAX_FILE} are allowed")
    for name in c_files():
        for f in csource.functions(text(name)):
            if f.lines > MAX_FUNCTION:
                found.append(f"{name}:{f.line}: {f.name} has {f.lines} lines; {MAX_FUNCTION} are allowed")
    for name in python_files():
        for node in ast.walk(python_tree(name) or ast.Module([], [])):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= MAX_FUNCTION:
                found.append(f"{name}:{node.lineno}: {node.name} has more than {MAX_FUNCTION} lines")
    return count, found


@check
def complexity():
    found, count = [], 0
    for name in c_files():
        for f in csource.functions(text(name)):
            count += 1
            if f.complexity > MAX_COMPLEXITY:
                found.append(f"{name}:{f.line}: {f.name} has a complexity of {f.complexity}; {MAX_COMPLEXITY} is allowed")
    return count, found


@check
def banned():
    names, found = matching("src/*.c", "src/*.h"), []
    for row in (LIB / "banned.txt").read_text().split("\n"):
        if not row.strip() or row.startswith("# "):
            continue
        pattern, allowed, instead = (part.strip() for part in row.split("~~"))
        for name in names:
            if any(fnmatch.fnmatch(name, p) for p in allowed.split()):
                continue
            for match in re.finditer(pattern, code(name)):
                line = code(name).count("\n", 0, match.start()) + 1
                found.append(f"{name}:{line}: {match.group().rstrip('( ')}: {instead}")
    return len(names), found


# ---- tables, documents, scripts ----


@check
def error_table():
    names = re.findall(r"^RS_ERR\((\w+),", text("src/tbl/errors.def"), re.M)
    told = text("docs/ERRORS.md") if (ROOT / "docs/ERRORS.md").is_file() else ""
    found = [f"docs/ERRORS.md:1: {n} of src/tbl/errors.def is missing" for n in names if f"`{n}`" not in told]
    for number, line in enumerate(told.split("\n"), 1):
        row = re.match(r"\| `(\w+)` \| (\d+) \| `?(\w+)`? \|", line)
        if row and f'RS_ERR({row[1]}, {row[2]}, "{row[3]}",' not in text("src/tbl/errors.def"):
            found.append(f"docs/ERRORS.md:{number}: src/tbl/errors.def says something else of {row[1]}")
    return len(names), found


@check
def links():
    """Files that a document names are there."""
    names, found = matching("*.md"), []
    for name in names:
        for number, line in enumerate(text(name).split("\n"), 1):
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
                if "://" not in target and not (ROOT / name).parent.joinpath(target).exists():
                    found.append(f"{name}:{number}: no such file: {target}")
            ours = "script|docs" if name == "docs/STYLE.md" else "script|docs|tests|src|bench"  # it names others' files
            for target in re.findall(rf"`((?:{ours})/[\w./-]+)`", line):
                if not (ROOT / target).exists():
                    found.append(f"{name}:{number}: no such file: {target}")
    return len(names), found


@check
def shell():
    names, found = shell_files(), []
    for name in names:
        if not re.search(r"^set -eu", "\n".join(text(name).split("\n")[:40]), re.M):
            found.append(f"{name}:1: no 'set -eu' near the top")
        if shebang(name, rb"sh|bash") and not os.access(ROOT / name, os.X_OK):
            found.append(f"{name}:1: not executable")
    done = run(["shellcheck", "--format=gcc", *names]) if names else None
    found += [line for line in (done.stdout + done.stderr).split("\n") if line] if done else []
    return len(names), found


@functools.lru_cache(None)
def python_tree(name):
    try:
        return ast.parse(text(name), name)
    except SyntaxError:
        return None


@check
def python():
    names, found = python_files(), []
    for name in names:
        tree = python_tree(name)
        if tree is None:
            found.append(f"{name}:1: not Python")
            continue
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | set(re.findall(r'"(\w+)"', text(name)))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)) and not name.endswith("__init__.py"):
                for alias in node.names:
                    bound = alias.asname or alias.name.split(".")[0]
                    if bound not in used:
                        found.append(f"{name}:{node.lineno}: {bound} is imported and not used")
    return len(names), found


@check
def no_skips():
    """A test that can be skipped proves nothing."""
    names = [n for n in matching("tests/*") if not is_data(n)]
    pattern = re.compile(r"\bpytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)\b|@unittest\.skip|^\s*skip\(\);")
    return len(names), lines_matching(names, pattern, "skips a test")


# ---- compilers ----


TARGETS = ("all", "bench-clients")


def build(lane, *targets):
    return len(matching("*.c")), complaints(run(["script/build", lane, *targets]), f"script/build {lane}")


@check
def gcc():
    return build("release", *TARGETS)


@check
def clang():
    return build("clang", *TARGETS)


@check
def clang_tidy():
    names = matching("src/*.c")

    def look(name):
        done = run(["clang-tidy", "--quiet", name, "--", *FLAGS, *ANALYSER])
        output = (done.stdout + done.stderr).replace(str(ROOT) + "/", "")
        found = re.findall(r"^(\S+:\d+:\d+: (?:error|warning): .*)$", output, re.M)
        return found or ([] if done.returncode == 0 else [f"{name}:1: clang-tidy failed: {output[-300:]}"])

    basis = [version("clang-tidy"), text(".clang-tidy"), *FLAGS, *ANALYSER]
    return len(names), list(dict.fromkeys(each_unless_good("tidy", names, basis, look)))


# ---- what is printed ----


def quantiles(values):
    values = sorted(values) or [0]
    return f"{statistics.median(values):.0f} / {values[int(0.9 * (len(values) - 1))]}"


def count(names):
    """Code lines and comment lines of these files."""
    pairs = [csource.comment_lines(text(n)) for n in names]
    return [code for _, code in pairs], sum(comment for comment, _ in pairs)


def print_stats():
    groups = {"src/": [], "tests/ (C)": [], "bench/ (C)": []}
    for name in c_files():
        for group, names in groups.items():
            if name.startswith(group.split()[0]):
                names.append(name)
    print(f"{'':14} {'files':>5} {'code':>6}  {'file m/p90':>11}  {'function m/p90':>14}  {'> 60':>6}  comments")
    for group, names in groups.items():
        lines, comments = count(names)
        functions = [f for n in names for f in csource.functions(text(n))]
        long = sum(f.code > 60 for f in functions) / max(len(functions), 1)
        print(f"{group:14} {len(names):5} {sum(lines):6}  {quantiles(lines):>11}  "
              f"{quantiles([f.code for f in functions]):>14}  {long:6.1%}  {comments / max(sum(lines), 1):.2f}")
    scripts = [n for n in matching("tests/*.py", "tests/*.vtc") if not is_data(n)]
    script_lines = sum(1 for n in scripts for l in text(n).split("\n") if l.strip() and not l.lstrip().startswith("#"))
    tests, source = sum(count(groups["tests/ (C)"])[0]) + script_lines, sum(count(groups["src/"])[0])
    print(f"tests : code = {tests} : {source} = {tests / max(source, 1):.2f}")
    worst = sorted(((f.complexity, f.lines, n, f) for n in groups["src/"] for f in csource.functions(text(n))),
                   key=lambda w: w[:2], reverse=True)
    for number, lines, name, f in worst[:10]:
        print(f"  complexity {number:2}, {lines:2} lines: {name}:{f.line} {f.name}")


def main(arguments):
    if arguments == ["--stats"]:
        return print_stats()
    if arguments == ["--list"]:
        return print(*CHECKS, sep="\n")
    unknown = [a for a in arguments if a not in CHECKS]
    if unknown:
        sys.exit(f"script/lint: no check {' '.join(unknown)}; there are: {' '.join(CHECKS)}")
    tools = [t for t in ("git", "gcc", "clang", "clang-format", "clang-tidy", "shellcheck") if not shutil.which(t)]
    if tools:
        print(f"script/lint: missing: {' '.join(tools)} (script/bootstrap test)", file=sys.stderr)
    bad = 0
    for name in arguments or CHECKS:
        start = time.time()
        try:
            looked, found = CHECKS[name]()
        except OSError as error:  # a tool that is not there fails its check
            looked, found = 0, [f"script/lint:1: {error}"]
        took = time.time() - start
        print(f"{'FAIL' if found else 'OK  '} {name}: {looked} looked at, {len(found)} found, {took:.1f} s", flush=True)
        for finding in found:
            print(f"    {finding}", flush=True)
        bad += bool(found)
    forget_old()
    print(f"lint: {len(arguments or CHECKS) - bad} good, {bad} bad")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
