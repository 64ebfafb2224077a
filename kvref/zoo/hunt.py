"""How soon a bug is killed: the fuzzer's cases one after another, until the first that shows it.

Cases follow from the seed, so that operations to kill are the same on every machine; seconds are not.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import kvref.errors
from invariants.view import View
from kvref.compare import Difference
from kvref.errors import ConfigurationError
from kvref.fuzz.cases import Case, Notice, draw_case
from kvref.fuzz.configurations import Profile
from kvref.fuzz.settings import Settings
from kvref.judge import Finding, explain
from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.base import digest
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.reference import ReferenceSession
from kvref.witness import Witness
from kvref.zoo.bug import Bug, Level
from kvref.zoo.session import NO_PICTURE, BuggySession, session_with

LENGTH = 60
"""Operations a case."""

PROFILE: Profile = "mixed"

SHOWN = 4
"""So many broken invariants are told of one case."""

MISTAKES = frozenset(
    name for name, one in vars(kvref.errors).items() if isinstance(one, type) and issubclass(one, Exception)
)


@dataclass(frozen=True)
class Kill:
    """The first case that shows the bug: so many cases and operations it took, and processor seconds."""

    cases: int
    operations: int
    seconds: float
    finding: Finding


@dataclass
class Hunt:
    """One bug at one level. `kill` is None while it lives."""

    bug: Bug
    session: type[BuggySession]
    cases: int = 0
    operations: int = 0
    seconds: float = 0.0
    kill: Kill | None = None

    @property
    def target(self) -> InProcessTarget:
        """The bug as a target."""
        return InProcessTarget(f"zoo=={self.bug.name}", self.session)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count processor time against this bug."""
        began = time.process_time()
        yield
        self.seconds += time.process_time() - began

    def killed_by(self, finding: Finding) -> None:
        """The hunt is over."""
        self.kill = Kill(self.cases, self.operations, self.seconds, finding)


Progress = Callable[[int, int], object]
"""Told of the cases that were played, and of the bugs that live."""


def hunt(level: Level, bugs: Sequence[Bug], seed: int, cases: int, progress: Progress) -> list[Hunt]:
    """Play cases at a level until every bug is killed, or there are none left to play."""
    hunts = [Hunt(bug, session_with(bug)) for bug in bugs]
    try_case = {"exact": _try_exactly, "invariants": _try_invariants, "safe": _try_safely}[level]
    # The first case of a campaign at level safe has a witness: here the data decide alone.
    for number in range(1, cases + 1):
        living = [one for one in hunts if one.kill is None]
        if not living:
            break
        progress(number, len(living))
        try_case(seed, number, living)
    return hunts


def _try_exactly(seed: int, number: int, living: list[Hunt]) -> None:
    """One case, drawn once on the reference, held against every bug."""
    began = time.process_time()
    case = draw_case(seed, PROFILE, number, LENGTH, ReferenceSession, ())
    drawing = time.process_time() - began
    for one in living:
        one.seconds += drawing
        one.cases += 1
        with one.timed():
            at = _first_difference(one, case)
        if at is not None:
            one.killed_by(_finding(one, case, at))


def _first_difference(one: Hunt, case: Case) -> int | None:
    """The operation after which the bug shows: the case ends there, for its state is worth nothing then."""
    try:
        session = one.session(case.trace.configuration)
    except ConfigurationError:
        return None if case.expected.refused else 0
    except Exception:  # noqa: BLE001 - whatever comes of the bug
        return 0
    for at, (operation, expected) in enumerate(
        zip(case.trace.operations, case.expected.digests, strict=True)
    ):
        one.operations += 1
        observation = session.apply(operation)
        if digest(observation, session.view()) != expected:
            return at
    return None


def _finding(one: Hunt, case: Case, at: int) -> Finding:
    if not case.trace.operations:
        return Finding(case.trace, None, (Difference("construction", "built", "refused"),))
    return explain(ReferenceSession, one.target, case.trace, at)


class _Shown(Exception):  # noqa: N818 - not an error
    """The case has shown the bug."""


class _Jury:
    """Sees one case that is played on the buggy manager itself, up to the first invariant that it breaks."""

    def __init__(self) -> None:
        self.performed: list[Operation] = []
        self.wrong: list[Difference] = []
        self.configuration: Configuration | None = None

    def notice(self, configuration: Configuration) -> Notice:
        """The case begins."""
        self.configuration = configuration
        witness = Witness(configuration)

        def see(operation: Operation, observation: Observation, view: View) -> None:
            self.performed.append(operation)
            if observation.error is not None and observation.error not in MISTAKES:
                self.wrong = [Difference("error", "none: the operation is legal", observation.error)]
            elif view.usage == NO_PICTURE:
                self.wrong = [Difference("state", "one that can be pictured", "none")]
            else:
                broken = witness.sees(operation, observation, view)
                self.wrong = [Difference(one.invariant, "holds", one.message) for one in broken]
            if self.wrong:
                raise _Shown

        return see


def _try_invariants(seed: int, number: int, living: list[Hunt]) -> None:
    """A case a bug, played on the buggy manager itself."""
    for one in living:
        jury = _Jury()
        one.cases += 1
        with one.timed(), suppress(_Shown):
            draw_case(seed, PROFILE, number, LENGTH, one.session, (), jury.notice)
        one.operations += len(jury.performed)
        if jury.wrong and jury.configuration is not None:
            trace = Trace(jury.configuration, tuple(jury.performed), seed=seed, case=number)
            one.killed_by(Finding(trace, trace.operations[-1], tuple(jury.wrong[:SHOWN])))


def _try_safely(seed: int, number: int, living: list[Hunt]) -> None:
    """A careful case a bug, with data behind the ids."""
    from kvref.fuzz.play import play  # noqa: PLC0415 - needs torch

    # Invariants are a level of their own.
    settings = Settings(seed, None, profile=PROFILE, length=LENGTH, witnessed=1 << 60)
    for one in living:
        one.cases += 1
        with one.timed():
            played = play(settings, number, one.target)
        one.operations += len(played.trace.operations)
        if played.wrong:
            one.killed_by(Finding(played.trace, played.trace.operations[-1], played.wrong))
