# SPDX-License-Identifier: Apache-2.0
"""Just enough of C to measure it: comments and strings taken out, includes, functions with length and complexity."""

import collections
import re

Function = collections.namedtuple("Function", "name line end lines code complexity")

_TOKEN = re.compile(
    r"""(?P<comment>/\*.*?\*/|//(?:\\\n|[^\n])*)
      | (?P<string>"(?:\\.|[^"\\\n])*")
      | (?P<char>'(?:\\.|[^'\\\n])*')""",
    re.X | re.S,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.M)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)
_BRANCH = re.compile(r"\b(?:if|for|while|case)\b|&&|\|\||\?")
_CASES = re.compile(r"(?:\bcase\b[^:;{}]*:\s*|\bdefault\s*:\s*)+")
_NOT_A_NAME = {"if", "for", "while", "switch", "return", "sizeof", "typeof", "__attribute__"}


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def strip_comments(text):
    """The text with comments blanked; every line stays where it is."""
    return _TOKEN.sub(lambda m: _blank(m.group()) if m.group("comment") else m.group(), text)


def code_only(text):
    """The text with comments blanked and the insides of strings and characters gone."""

    def replace(match):
        if match.group("comment"):
            return _blank(match.group())
        return match.group()[0] + " " * (len(match.group()) - 2) + match.group()[0]

    return _TOKEN.sub(replace, text)


def includes(text):
    """(line, path) of each #include "path"."""
    plain = strip_comments(text)
    return [(plain.count("\n", 0, m.start()) + 1, m.group(1)) for m in _INCLUDE.finditer(plain)]


def comment_lines(text):
    """The number of lines that hold a comment and the number that hold code."""
    comment = set()
    for match in _TOKEN.finditer(text):
        if match.group("comment"):
            first = text.count("\n", 0, match.start())
            comment.update(range(first, first + match.group().count("\n") + 1))
    code = sum(1 for line in strip_comments(text).split("\n") if line.strip())
    return len(comment), code


def complexity(body):
    """McCabe's number. Labels that stand together are one branch."""
    body = _CASES.sub(lambda m: "case " if "case" in m.group() else "", body)
    return 1 + len(_BRANCH.findall(body))


def _close(code, at, pair):
    """The index of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(code)):
        if code[i] == pair[0]:
            depth += 1
        elif code[i] == pair[1]:
            depth -= 1
            if depth == 0:
                return i
    return len(code) - 1


def _name_of(head):
    """The function that this text before a brace declares, or None: `static rs_rc name(int a, int b)`."""
    match = re.search(r"([A-Za-z_]\w*)\s*\(", head)
    while match and (match.group(1) in _NOT_A_NAME or match.group(1).isupper() or match.group(1).startswith("RS_")):
        end = _close(head, match.end() - 1, "()")
        match = re.compile(r"([A-Za-z_]\w*)\s*\(").search(head, end)
    if not match or "=" in head[: match.start()] or not head.rstrip().endswith(")"):
        return None
    return match.group(1)


def functions(text):
    """Every function that is defined in the text."""
    code = _DIRECTIVE.sub(lambda m: _blank(m.group()), code_only(text))
    found, start, i = [], 0, 0
    while i < len(code):
        if code[i] in ";}":
            start = i + 1
        elif code[i] == "{":
            end = _close(code, i, "{}")
            name = _name_of(code[start:i])
            if name:
                begin = start + len(code[start:i]) - len(code[start:i].lstrip())
                body = code[begin : end + 1]
                found.append(
                    Function(
                        name,
                        code.count("\n", 0, begin) + 1,
                        code.count("\n", 0, end) + 1,
                        body.count("\n") + 1,
                        sum(1 for line in body.split("\n") if line.strip()),
                        complexity(code[i : end + 1]),
                    )
                )
            i = end
            if name:
                start = i + 1
        i += 1
    return found
