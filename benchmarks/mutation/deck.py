"""Cases drawn beforehand, and how a mutant is held against what the unchanged other manager showed on them."""

import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import NamedTuple

from blunders import Told, blunders

from kvref.errors import ConfigurationError
from kvref.fuzz.cases import Case, draw_case
from kvref.fuzz.coverage import Coverage
from kvref.operations import (
    Allocate,
    CommonPrefix,
    Configuration,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Reset,
    StepEnds,
    Trace,
)
from kvref.targets.base import CaseResult, digest
from kvref.targets.session import ApiSession

LENGTH = 60


class Fate(NamedTuple):
    """How it went with one mutant: what killed it, None if nothing did, after so much of what was played."""

    killer: str | None
    cases: int
    operations: int
    seconds: float


class Drawn(NamedTuple):
    """A case of the fuzzer's with what the other manager showed on it, and on the blunders behind it."""

    case: Case
    blunders: list[Told]


def draw_deck(opener: Callable[[Configuration], ApiSession], seed: int, cases: int) -> list[Drawn]:
    """So many cases, and two pools of sizes that the fuzzer never draws."""
    sizes = [_drawn(opener, _of_pool(opener, blocks)) for blocks in (1, 400)]
    return sizes + [
        _drawn(opener, draw_case(seed, "mixed", number, LENGTH, opener, ())) for number in range(cases)
    ]


def _of_pool(opener: Callable[[Configuration], ApiSession], blocks: int) -> Case:
    """One short request in a pool of so many blocks: the null block alone, or more than small integers count."""
    configuration = Configuration((FullGroup(1),), blocks, 1024, 1, 1)
    prompt = tuple(range(300))
    operations = (
        NewRequest("r", prompt),
        NewStep(),
        Lookup("r"),
        Allocate("r", 0, len(prompt), hit=0),
        CommonPrefix("r"),
        StepEnds(),
        Free("r"),
        Reset(),
    )
    trace = Trace(configuration, operations)
    session = opener(configuration)
    digests = [digest(session.apply(operation), session.view()) for operation in operations]
    return Case(trace, CaseResult(tuple(digests)), Coverage())


def _drawn(opener: Callable[[Configuration], ApiSession], case: Case) -> Drawn:
    if case.expected.refused:
        return Drawn(case, [])
    session = opener(case.trace.configuration)
    for operation in case.trace.operations:
        session.apply(operation)
    return Drawn(case, list(blunders(session)))


def try_on(opener: Callable[[Configuration], ApiSession], deck: list[Drawn]) -> Fate:
    """Play cases until one shows a difference in an answer or in the state; what is raised is one, too."""
    began = time.process_time()
    cases = operations = 0

    def fate(killer: str | None) -> Fate:
        return Fate(killer, cases, operations, time.process_time() - began)

    for case, told in deck:
        cases += 1
        try:
            session = opener(case.trace.configuration)
        except ConfigurationError:
            if not case.expected.refused:
                return fate("difference")
            continue
        except Exception as error:  # noqa: BLE001 - a mutant may raise anything
            return fate(type(error).__name__)
        if case.expected.refused:
            return fate("difference")
        try:
            for is_same, what in _compared(session, case, told):
                operations += 1
                if not is_same:
                    return fate(what)
        except Exception as error:  # noqa: BLE001 - a mutant may raise anything
            return fate(type(error).__name__)
    return fate(None)


def _compared(session: ApiSession, case: Case, told: list[Told]) -> Iterator[tuple[bool, str]]:
    for operation, expected in zip(case.trace.operations, case.expected.digests, strict=True):
        yield digest(session.apply(operation), session.view()) == expected, "difference"
    for before, now in zip_longest(told, blunders(session)):
        yield before == now, "blunder"
