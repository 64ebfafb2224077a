"""The driver `fuzz`: the fuzzer's own cases."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

import kvref.errors
from invariants.view import View
from kvref.compare import Difference
from kvref.errors import ConfigurationError
from kvref.fuzz.cases import Case, Notice, draw_case
from kvref.fuzz.configurations import Profile
from kvref.fuzz.hits import held
from kvref.fuzz.safe import SafeTarget
from kvref.fuzz.settings import Settings
from kvref.judge import explain
from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.base import digest
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.reference import ReferenceSession
from kvref.witness import Witness
from kvref.zoo.bug import Bug, Level
from kvref.zoo.hunt import Hunt, Kill
from kvref.zoo.session import NO_PICTURE, BuggySession, session_with

LENGTH = 60
"""Operations a case."""

PROFILE: Profile = "mixed"

SHOWN = 4
"""So many broken invariants are told of one case."""

MISTAKES = frozenset(
    name for name, one in vars(kvref.errors).items() if isinstance(one, type) and issubclass(one, Exception)
)

Played = tuple[int, Kill | None]
"""How many operations a case had up to where it ended, and what it has shown."""


def hunt_cases(bug: Bug, level: Level, seed: int, cases: int) -> Hunt:
    """Play cases at a level until the bug is killed, or there are none left to play."""
    play = _player(level, bug, seed)
    hunt = Hunt(bug)
    for number in range(1, cases + 1):
        if level == "exact":
            hunt.seconds += _drawn(seed, number)[1]
        with hunt.timed():
            operations, hunt.kill = play(number)
        hunt.cases += 1
        hunt.operations += operations
        if hunt.kill is not None:
            break
    return hunt


def forget_drawn() -> None:
    """Draw cases anew: they are kept from one bug to the next."""
    _drawn.cache_clear()


def asked(bug: Bug, level: Level) -> SafeTarget:
    """The bug as a target, held to what the level compares."""
    target = InProcessTarget(f"zoo=={bug.name}", session_with(bug))
    return held(target, ReferenceSession) if level == "hits" else target


def _player(level: Level, bug: Bug, seed: int) -> Callable[[int], Played]:
    session = session_with(bug)
    match level:
        case "exact":
            for_exact = InProcessTarget(f"zoo=={bug.name}", session)
            return lambda number: _play_exactly(session, for_exact, *_drawn(seed, number))
        case "invariants":
            return lambda number: _play_invariants(session, seed, number)
        case "safe" | "hits":
            target = asked(bug, level)
            return lambda number: _play_safely(target, seed, number)


@lru_cache(maxsize=512)
def _drawn(seed: int, number: int) -> tuple[Case, float]:
    """A case that is drawn on the reference, and how long that took: all bugs are held against it."""
    began = time.process_time()
    case = draw_case(seed, PROFILE, number, LENGTH, ReferenceSession, ())
    return case, time.process_time() - began


def _play_exactly(session: type[BuggySession], target: InProcessTarget, case: Case, _: float) -> Played:
    """The case ends with the first operation that shows the bug: the state is worth nothing behind it."""
    operations = case.trace.operations
    unbuilt = Kill(case.trace, (Difference("construction", "built", "refused"),))
    try:
        opened = session(case.trace.configuration)
    except ConfigurationError:
        return 0, None if case.expected.refused else unbuilt
    except Exception:  # noqa: BLE001 - whatever comes of the bug
        return 0, unbuilt
    for at, (operation, expected) in enumerate(zip(operations, case.expected.digests, strict=True)):
        observation = opened.apply(operation)
        if digest(observation, opened.view()) != expected:
            finding = explain(ReferenceSession, target, case.trace, at)
            return at + 1, Kill(finding.trace, finding.differences)
    return len(operations), None


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


def _play_invariants(session: type[BuggySession], seed: int, number: int) -> Played:
    """A case that is played on the buggy manager itself."""
    jury = _Jury()
    with suppress(_Shown):
        draw_case(seed, PROFILE, number, LENGTH, session, (), jury.notice)
    kill = None
    if jury.wrong and jury.configuration is not None:
        trace = Trace(jury.configuration, tuple(jury.performed), seed=seed, case=number)
        kill = Kill(trace, tuple(jury.wrong[:SHOWN]))
    return len(jury.performed), kill


def _play_safely(target: SafeTarget, seed: int, number: int) -> Played:
    """A careful case with data behind the ids, whose state nobody looks at: invariants are a level of their own."""
    from kvref.fuzz.play import play  # noqa: PLC0415 - needs torch

    played = play(Settings(seed, None, profile=PROFILE, length=LENGTH, witnessed=1 << 60), number, target)
    kill = Kill(played.trace, played.wrong) if played.wrong else None
    return len(played.trace.operations), kill
