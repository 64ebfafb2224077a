"""Explicit-state model checking: every state within a scope, and every move from each of them.

States are kept as fingerprints, with the move that first led to each. A few of those that are to be visited are
kept as they are; any other is made again by playing the moves that lead to it, from the last state that its way
has in common with the one before. At each transition
both managers must show the same, and all invariants hold. A move is one operation, and states are visited
nearest first, so that the first counterexample is a shortest one.
"""

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from kvref.check.canonical import Canon
from kvref.check.coverage import Watch
from kvref.check.fingerprints import Fingerprints
from kvref.check.hidden import hidden_form
from kvref.check.image import Image
from kvref.check.moves import Move, Scope, moves
from kvref.check.names import Names
from kvref.check.playing import start
from kvref.check.traces import trace_of
from kvref.compare import Difference
from kvref.operations import Trace
from kvref.targets.picture import Opener

ROOT = 0

MOST_AHEAD = 4000
"""So many states are kept as they are until they are visited, some fifteen kilobytes each."""

Ending = Literal["exhausted", "counterexample", "bound", "interrupt"]
"""Why a check ended: all is visited, something is wrong, as much as was asked for is visited, or Ctrl-C."""


@dataclass
class Explored:
    """What a check has seen: `states` and `transitions`, and the `depth` in operations of the farthest state.

    `ending` is None while it goes on. `trace` is a shortest way to what is `wrong`. `memory` is what keeps
    the states, in bytes. `shown` counts what came about, by transition.
    """

    states: int = 0
    transitions: int = 0
    depth: int = 0
    memory: int = 0
    seconds: float = 0.0
    ending: Ending | None = None
    trace: Trace | None = None
    wrong: tuple[Difference, ...] = ()
    shown: dict[str, int] = field(default_factory=dict)


def explore(
    scope: Scope,
    reference: Opener,
    subject: Opener,
    most_transitions: int | None = None,
    on_state: Callable[[Explored], None] = lambda _: None,
) -> Explored:
    """Visit every state, nearest first, until all are visited, or `most_transitions` made, or something is wrong.

    Ctrl-C ends it well. Processor seconds are counted.
    """
    return _Search(scope, reference, subject).run(most_transitions, on_state)


class _Search:
    def __init__(self, scope: Scope, reference: Opener, subject: Opener) -> None:
        self._scope = scope
        self._sides = reference, subject
        self._playing = start(scope, reference, subject)
        self._canon = Canon(scope.configuration)
        self._watch = Watch(scope)
        self._seen = Fingerprints()
        self._parents = array("I", [ROOT])
        self._ways = array("H", [0])
        """By state, the number of the move that first led to it."""
        self._moves: list[Move] = []
        self._numbers: dict[Move, int] = {}
        self._trail: list[tuple[int, Image]] = []
        """The states from the root to the last one that was played to, and what they looked like."""
        self._ahead: dict[int, Image] = {}
        """What some of the states look like that are to be visited."""

    def run(self, most_transitions: int | None, on_state: Callable[[Explored], None]) -> Explored:
        result = Explored(states=1, shown=self._watch.counts)
        began = time.process_time()
        self._seen.add(self._fingerprint())
        self._trail = [(ROOT, self._playing.image())]
        at, level_ends = ROOT, 1
        try:
            while at < result.states and result.ending is None:
                if at == level_ends:
                    result.depth, level_ends = result.depth + 1, result.states
                self._expand(at, result)
                at += 1
                if most_transitions is not None and result.transitions >= most_transitions:
                    result.ending = result.ending or "bound"
                on_state(result)
            result.ending = result.ending or "exhausted"
        except KeyboardInterrupt:
            result.ending = "interrupt"
        result.seconds = time.process_time() - began
        result.memory = self._memory
        return result

    @property
    def _memory(self) -> int:
        arrays = (self._parents, self._ways)
        return self._seen.bytes + sum(len(one) * one.itemsize for one in arrays)

    def _expand(self, at: int, result: Explored) -> None:
        """Make every move from a state, until something is wrong."""
        playing, here = self._playing, self._go_to(at)
        before = playing.witness.last
        letters = self._canon.letters(before, playing.texts)
        self._watch.stands(playing.scheduler)
        for number, move in enumerate(list(moves(self._scope, playing.scheduler, letters))):
            if number:
                here.restore()
            made = playing.make(move)
            result.transitions += 1
            if made.wrong:
                result.trace, wrong = trace_of(self._scope, [*self._path(at), move], *self._sides)
                result.wrong = tuple(wrong)
                result.ending = "counterexample"
                return
            self._watch.sees(move, made.observation, before, playing.witness.last)
            if self._seen.add(self._fingerprint()):
                self._parents.append(at)
                self._ways.append(self._number(move))
                if len(self._ahead) < MOST_AHEAD:
                    self._ahead[result.states] = playing.image()
                result.states += 1

    def _go_to(self, at: int) -> Image:
        """Have the managers in a state: as it was seen, or from where its way leaves the last one's."""
        seen = self._ahead.pop(at, None)
        if seen is not None:
            seen.restore()
            return seen
        ways = self._way(at)
        common = 0
        while common < min(len(ways), len(self._trail)) and self._trail[common][0] == ways[common]:
            common += 1
        del self._trail[common:]
        self._trail[-1][1].restore()
        for state in ways[common:]:
            self._playing.make(self._moves[self._ways[state]])
            self._trail.append((state, self._playing.image()))
        return self._trail[-1][1]

    def _way(self, at: int) -> list[int]:
        """The states from the root to this one."""
        found = [at]
        while found[-1] != ROOT:
            found.append(self._parents[found[-1]])
        return found[::-1]

    def _path(self, at: int) -> list[Move]:
        """The moves that lead to a state."""
        return [self._moves[self._ways[state]] for state in self._way(at)[1:]]

    def _number(self, move: Move) -> int:
        number = self._numbers.setdefault(move, len(self._moves))
        if number == len(self._moves):
            self._moves.append(move)
        return number

    def _fingerprint(self) -> int:
        playing = self._playing

        def hidden(names: Names) -> object:
            return [hidden_form(side, names) for side in (playing.reference, playing.subject)]

        return self._canon.fingerprint(playing.witness.last, playing.scheduler, playing.texts, hidden)
