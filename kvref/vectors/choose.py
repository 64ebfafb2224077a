"""Chooses traces for a suite: of many drawn cases, the shortest that fill each cell.

A cell is a kind or feature with what it took part in, an operation with what came of it, or a caller's
mistake. A trace that fills a cell is the case up to there; one longer case a row shows its kind or
feature in company.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from invariants.view import View
from kvref.fuzz.cases import Notice, draw_case
from kvref.fuzz.coverage import EVENTS, ROWS, Watch
from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.picture import Opener

LENGTH = 40
SHORT = 8
"""Operations a case; every third one is short, so that a caller's mistake, which is last, comes soon."""

OPERATIONS, MISTAKES, REFUSED = "operations", "mistakes", "refused"
FEATURES = (*ROWS, OPERATIONS, MISTAKES, REFUSED)
"""One file each."""

Cell = tuple[str, str]
"""A feature, and what it took part in."""

Cost = tuple[int, int]
"""Operations, then bytes: what is shorter is easier to read."""


@dataclass
class Chosen:
    """The cheapest trace for each cell so far, and the cheapest whole case for each row."""

    shortest: dict[Cell, tuple[Cost, Trace]] = field(default_factory=dict)
    whole: dict[str, list[tuple[tuple[int, int], Trace]]] = field(default_factory=dict)

    def offer(self, cell: Cell, trace: Trace) -> None:
        """Take the trace for this cell, if there is none that is as short."""
        best = self.shortest.get(cell)
        if best is None or len(trace.operations) <= best[0][0]:
            cost = (len(trace.operations), len(msgspec.json.encode(trace)))
            if best is None or cost < best[0]:
                self.shortest[cell] = (cost, trace)

    def offer_whole(self, row: str, filled: int, trace: Trace) -> None:
        """Keep the whole case among those of this row, those that fill most of it first."""
        kept = self.whole.setdefault(row, [])
        kept.append(((-filled, len(msgspec.json.encode(trace))), trace))
        kept.sort(key=lambda entry: entry[0])
        del kept[len(FEATURES) :]

    def traces(self) -> dict[str, list[tuple[str, Trace]]]:
        """By feature: traces, each with what it was chosen for. None is chosen twice."""
        taken: set[Trace] = set()
        chosen: dict[str, list[tuple[str, Trace]]] = {}
        for feature in FEATURES:
            cells = [
                (cell[1], trace) for cell, (_, trace) in sorted(self.shortest.items()) if cell[0] == feature
            ]
            company = [
                ("whole case", trace) for _, trace in self.whole.get(feature, ()) if trace not in taken
            ]
            for what, trace in (*cells, *company[:1]):
                if trace not in taken:
                    taken.add(trace)
                    chosen.setdefault(feature, []).append((what, trace))
        return chosen


class Moments:
    """Notes at which operation of a case each of its cells was filled first."""

    def __init__(self, configuration: Configuration, before: View) -> None:
        self.first: dict[Cell, int] = {}
        self._watch = Watch(configuration)
        self._before = before
        self._performed = 0

    def see(self, operation: Operation, observation: Observation, view: View) -> None:
        """Note one operation that was performed."""
        name = type(operation).__name__
        if observation.error is not None:
            self._note([(MISTAKES, f"{name}: {observation.error}")])
        else:
            self._watch.see(operation, observation, self._before, view)
            self._note(cell for cell, count in self._watch.coverage.counts.items() if count)
            self._note((OPERATIONS, what) for what in _outcomes(name, observation, view != self._before))
        self._before = view
        self._performed += 1

    def _note(self, cells: Iterable[Cell]) -> None:
        for cell in cells:
            self.first.setdefault(cell, self._performed)


def _outcomes(name: str, observation: Observation, is_changed: bool) -> Iterable[str]:
    yield f"{name} changes the state" if is_changed else f"{name} leaves the state"
    yield from (f"{name} tells {type(event).__name__}" for event in observation.events)
    if observation.numbers:
        yield f"{name} returns ids" if any(observation.numbers) else f"{name} returns zeros"
    if observation.done is not None:
        yield f"{name} {'succeeds' if observation.done else 'fails'}"
    if observation.stats is not None and any(observation.stats):
        yield f"{name} returns counts"


def choose(seed: int, cases: int, opener: Opener, on_case: Callable[[int], None]) -> Chosen:
    """Draw so many cases, and choose among them. Everything follows from the seed."""
    chosen = Chosen()
    for number in range(cases):
        _offer_case(seed, number, opener, chosen)
        on_case(number + 1)
    return chosen


def _offer_case(seed: int, number: int, opener: Opener, chosen: Chosen) -> None:
    moments: list[Moments] = []

    def notice(configuration: Configuration) -> Notice:
        moments.append(Moments(configuration, opener(configuration).view()))
        return moments[0].see

    length = LENGTH if number % 3 else SHORT
    case = draw_case(seed, "mixed", number, length, opener, (), notice)
    trace = case.trace
    if trace.configuration.hash_function != "sha256_cbor":
        return  # the other one hashes Python's own form of values, which no other language writes
    if case.expected.refused is not None:
        reason = "".join(c for c in case.expected.refused if not c.isdigit())
        chosen.offer((REFUSED, reason), trace)
        return
    (seen,) = moments
    for cell, at in seen.first.items():
        chosen.offer(cell, msgspec.structs.replace(trace, operations=trace.operations[: at + 1]))
    for row in {row for row, _ in seen.first if row in ROWS and length == LENGTH}:
        filled = sum((row, event) in seen.first for event in EVENTS)
        chosen.offer_whole(row, filled, trace)
