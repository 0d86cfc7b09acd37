# SPDX-License-Identifier: Apache-2.0
"""A strict reader of Prometheus' text format 0.0.4: anything that the format does not allow fails."""

import dataclasses
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\Z)')
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z")
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?\Z")
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclasses.dataclass
class Family:
    help: str
    type: str = None
    samples: dict = dataclasses.field(default_factory=dict)  # (name, labels) → number


def labels_of(text):
    labels, at = {}, 0
    while text and at < len(text):
        match = LABEL.match(text, at)
        assert match, f"labels {text!r} at {at}"
        name, value, _ = match.groups()
        assert name not in labels, text
        labels[name] = re.sub(r"\\.", lambda m: ESCAPES[m.group()], value)
        at = match.end()
    return labels


def belongs(name, family, kind):
    return name == family if kind != "histogram" else name in (f"{family}_bucket", f"{family}_sum", f"{family}_count")


def parse(text):
    """Families by name."""
    assert text.endswith("\n") and "\r" not in text
    families, current = {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            current, words = line[7:].split(" ", 1)
            assert NAME.match(current) and words and current not in families, line
            families[current] = Family(words)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == current and families[name].type is None, line
            assert kind in ("counter", "gauge", "histogram"), line
            families[name].type = kind
        else:
            match = SAMPLE.match(line)
            assert match, line
            name, labels, number = match.groups()
            family = families[current]
            assert family.type and belongs(name, current, family.type), line
            assert NUMBER.match(number), line
            key = (name, tuple(sorted(labels_of(labels).items())))
            assert key not in family.samples, f"twice: {line}"
            family.samples[key] = float(number)
    for name, family in families.items():
        if family.type == "histogram":
            check_histograms(name, family)
    return families


def check_histograms(name, family):
    series = {}
    for (sample, labels), number in family.samples.items():
        rest = tuple(kv for kv in labels if kv[0] != "le")
        part = series.setdefault(rest, {"buckets": []})
        if sample == f"{name}_bucket":
            part["buckets"].append((float(dict(labels)["le"]), number))
        else:
            part[sample.removeprefix(name)] = number
    for labels, part in series.items():
        bounds = [b for b, _ in part["buckets"]]
        counts = [n for _, n in part["buckets"]]
        assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), (name, labels, bounds)
        assert counts == sorted(counts), (name, labels, counts)
        assert counts[-1] == part["_count"] and part["_sum"] >= 0, (name, labels)


class Metrics:
    """What one look showed."""

    def __init__(self, text):
        self.text = text
        self.families = parse(text)

    def family(self, name):
        return self.families.get(name) or self.families[re.sub(r"_(bucket|sum|count)\Z", "", name)]

    def get(self, name, **labels):
        """One number; 0 where there is no such series."""
        return self.family(name).samples.get((name, tuple(sorted(labels.items()))), 0)

    def sum(self, name, **labels):
        """Of all series that have these labels."""
        return sum(number for (sample, found), number in self.family(name).samples.items()
                   if sample == name and labels.items() <= dict(found).items())

    def values(self, label):
        """All values of a label, anywhere."""
        return {value for family in self.families.values() for _, labels in family.samples
                for name, value in labels if name == label}
