# SPDX-License-Identifier: Apache-2.0
"""What was measured, and what it says about an aim. A figure that is not there is "not run", never a guess."""

import dataclasses
import statistics
from collections import defaultdict

NOT_RUN = "not run"
US = "roadstead"


class Samples:
    """One list of values, a value a round, for each (case, subject, metric)."""

    def __init__(self):
        self.values = defaultdict(list)
        self.failures = {}

    def add(self, case, subject, **metrics):
        for metric, value in metrics.items():
            self.values[case, subject, metric].append(value)

    def lines(self):
        """The (case, subject) pairs in the order in which they were first measured, case by case."""
        pairs = list(dict.fromkeys((case, subject) for case, subject, _metric in self.values))
        cases = list(dict.fromkeys(case for case, _subject in pairs))
        return sorted(pairs, key=lambda pair: cases.index(pair[0]))

    def median(self, case, subject, metric):
        values = self.values.get((case, subject, metric))
        return statistics.median(values) if values else None

    def spread(self, case, subject, metric):
        values = self.values.get((case, subject, metric))
        return (min(values), max(values)) if values else None

    def ratio(self, metric, one, other):
        """The median over the rounds of `one` / `other`, each a (case, subject): both were measured in the same round,
        seconds apart, so that what slows the machine for a while slows both."""
        pairs = zip(self.values.get((*one, metric), []), self.values.get((*other, metric), []))
        ratios = [a / b for a, b in pairs if b]
        return statistics.median(ratios) if ratios else None


@dataclasses.dataclass
class Aim:
    work: str
    aim: str
    measured: str
    met: bool | None

    def beside(self, ratio, what):
        """Adds a second figure, which does not decide."""
        if ratio is not None:
            self.measured += f" ({ratio:.3g} × {what})"
        return self

    @property
    def verdict(self):
        return NOT_RUN if self.met is None else "met" if self.met else "**missed**"


def at_least(work, value, bound, unit):
    return _aim(work, value, f"≥ {bound:g} {unit}", unit, value is not None and value >= bound)


def at_most(work, value, bound, unit):
    return _aim(work, value, f"≤ {bound:g} {unit}", unit, value is not None and value <= bound)


def _aim(work, value, aim, unit, met):
    if value is None:
        return Aim(work, aim, NOT_RUN, None)
    return Aim(work, aim, f"{value:.3g} {unit}", met)
