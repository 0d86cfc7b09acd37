# SPDX-License-Identifier: Apache-2.0
"""The results as a page of Markdown."""

from results import NOT_RUN, US, Samples

HEAD = """\
# Results of `script/bench`

Written by the program; what it does and how to read this is in [docs/BENCH.md](../docs/BENCH.md). Figures are medians over the
rounds, with the lowest and the highest in brackets; ratios are the median of the ratios of the rounds.
"""


def _table(headings, lines):
    return "\n".join(["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
                     + ["| " + " | ".join(line) + " |" for line in lines]) + "\n"


def _cell(samples, case, subject, metric, layout):
    value = samples.median(case, subject, metric)
    if value is None:
        return "—"
    low, high = samples.spread(case, subject, metric)
    return f"{value:{layout}}" if low == high else f"**{value:{layout}}** ({low:{layout}}–{high:{layout}})"


def _row(row, samples):
    lines = [[case, subject] + [_cell(samples, case, subject, metric, layout) for metric, _heading, layout in row.columns]
             for case, subject in samples.lines()]
    parts = [f"## {row.title}\n", row.method + "\n"]
    if lines:
        parts.append(_table(["work", "server"] + [heading for _metric, heading, _layout in row.columns], lines))
    if US not in {subject for _case, subject in samples.lines()} and US not in samples.failures:
        parts.append(f"Roadstead: {NOT_RUN}.\n")
    parts += [f"{subject} failed: `{' '.join(text.split())[:300]}`\n" for subject, text in samples.failures.items()]
    return "\n".join(parts)


def _missing(row):
    return f"## {row.title}\n\n{NOT_RUN.capitalize()}.\n"


def write(facts, rows, results):
    """`results` maps a row's name to its samples; a row that is not in it did not run."""
    aims = [[aim.work, aim.aim, aim.measured, aim.verdict] for row in rows for aim in row.aims(results.get(row.name, Samples()))]
    return "\n".join([
        HEAD,
        _table(["machine and run", ""], facts),
        "## The aims\n",
        _table(["work", "aim", "measured", ""], aims),
        *[_row(row, results[row.name]) if row.name in results else _missing(row) for row in rows],
    ])
