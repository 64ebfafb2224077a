"""Performs a recording on a target and the reference, a piece at a time, up to what is wrong.

What both return is compared after every operation, their states at the end of every piece. Where a state
differs, all is done once more, and the last piece operation by operation: the first difference is told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from invariants import Checker
from invariants.view import View
from kvref.compare import Difference, differences
from kvref.operations import Configuration, Observation, Operation
from kvref.record.held import observation_differences, view_differences
from kvref.record.told import NOTHING, Told
from kvref.targets.deviations import Catalogue, Deviation, Situation, met_by
from kvref.targets.picture import Opener, Picture, Session, apply_all
from kvref.witness import setting_of

Recorded = Callable[[], Iterator[Told]]
"""Begins a recording anew."""

Progress = Callable[[int], None]
"""Told how many operations have been performed."""


@dataclass(frozen=True)
class Replayed:
    """How far both agreed, and what ended that: `wrong` at `operation`, `known` as a deviation or not.

    States were last seen to agree behind `sure` operations.
    """

    agreed: int
    sure: int = 0
    wrong: tuple[Difference, ...] = ()
    operation: Operation | None = None
    known: Deviation | None = None


class Side(Protocol):
    """What the reference is held against."""

    def compare(self, piece: list[Told], mine: list[Observation]) -> tuple[int, list[Difference]]:
        """How many operations agree, and in what the next one differs."""

    def state(self, piece: list[Told], mine: View) -> list[Difference]:
        """What is wrong with the state behind the piece."""


class OnTarget:
    """A target performs the recording, too. Raises UserError if it gives no answer."""

    def __init__(self, configuration: Configuration, session: Session) -> None:
        self._session = session
        self._checker = Checker(setting_of(configuration))

    def compare(self, piece: list[Told], mine: list[Observation]) -> tuple[int, list[Difference]]:
        """How many operations agree, and in what the next one differs."""
        theirs = _perform(self._session, piece)
        for at, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            if a != b:
                return at, differences(Picture(a, _NONE), Picture(b, _NONE))
        return min(len(mine), len(theirs)), []

    def state(self, piece: list[Told], mine: View) -> list[Difference]:
        """What differs in the target's state, or breaks an invariant."""
        del piece
        view = self._session.view()
        broken = [Difference(one.invariant, "holds", one.message) for one in self._checker.state(view)]
        return differences(Picture(NOTHING, mine), Picture(NOTHING, view)) + broken


class AsRecorded:
    """What the engine returned. States are compared where the recording has a snapshot."""

    def __init__(self, configuration: Configuration, *, blocks: bool) -> None:
        self._blocks = blocks
        self._checker = Checker(setting_of(configuration))

    def compare(self, piece: list[Told], mine: list[Observation]) -> tuple[int, list[Difference]]:
        """How many operations agree, and in what the next one differs."""
        for at, (one, own) in enumerate(zip(piece, mine, strict=False)):
            found = observation_differences(own, one, blocks=self._blocks)
            if found:
                return at, found
        return len(mine), []

    def state(self, piece: list[Told], mine: View) -> list[Difference]:
        """What differs in the engine's state, or breaks an invariant, if a snapshot was taken."""
        view = piece[-1].view
        if view is None:
            return []
        broken = [Difference(one.invariant, "holds", one.message) for one in self._checker.state(view)]
        return view_differences(mine, view) + broken


@dataclass(frozen=True)
class Replay:
    """A recording, the reference, and what it is held against, each of which can be begun anew."""

    configuration: Configuration
    recorded: Recorded
    reference: Opener
    side: Callable[[], Side]
    catalogue: Catalogue = ()
    every: int = 1000
    """So many operations are a piece."""

    def run(self, progress: Progress = lambda _: None) -> Replayed:
        """Perform the recording, up to what is wrong."""
        coarse = self._run(self._pieces(), progress)
        if coarse.wrong and self.every > 1:
            fine = self._run(self._refined(coarse.sure), progress)
            coarse = fine if fine.wrong else coarse
        return self._with_cause(coarse) if coarse.wrong else coarse

    def _run(self, pieces: Iterator[list[Told]], progress: Progress) -> Replayed:
        session, side = self.reference(self.configuration), self.side()
        done = sure = 0
        for piece in pieces:
            mine = _perform(session, piece)
            agreed, wrong = side.compare(piece, mine)
            if not wrong and agreed == len(mine):
                wrong = side.state(piece[:agreed], session.view()) if agreed else []
                agreed -= bool(wrong)
            done += agreed
            if wrong or agreed < len(piece):
                return Replayed(done, sure, tuple(wrong), piece[agreed].operation if wrong else None)
            sure = done
            progress(done)
        return Replayed(done, sure)

    def _pieces(self) -> Iterator[list[Told]]:
        """Pieces of a size; one ends where a snapshot was taken."""
        piece: list[Told] = []
        for one in self.recorded():
            piece.append(one)
            if len(piece) >= self.every or one.view is not None:
                yield piece
                piece = []
        if piece:
            yield piece

    def _refined(self, last: int) -> Iterator[list[Told]]:
        """Pieces up to `last`, and then single operations."""
        recorded = self.recorded()
        while last > 0 and (piece := list(islice(recorded, min(last, self.every)))):
            last -= len(piece)
            yield piece
        for one in recorded:
            yield [one]

    def _with_cause(self, found: Replayed) -> Replayed:
        """The known deviation, if the reference's state before the operation shows one."""
        if not self.catalogue or found.operation is None:
            return found
        session = self.reference(self.configuration)
        recorded = self.recorded()
        left = found.agreed
        while left > 0 and (piece := list(islice(recorded, min(left, self.every)))):
            left -= len(piece)
            _perform(session, piece)
        known = met_by(self.catalogue, Situation(self.configuration, session, found.operation))
        return replace(found, known=known)


def _perform(session: Session, piece: list[Told]) -> list[Observation]:
    gone = [one.gone for one in piece if one.gone is not None]
    return apply_all(session, [one.operation for one in piece], gone)


_NONE = View([], [], [], [], {}, {}, [], [], 0.0, None)
