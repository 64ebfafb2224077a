"""Cases drawn beforehand, and how a mutant is held against what the unchanged other manager showed on them."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

from answers import Hooks, answers
from blunders import blunders
from forks import forked
from found import Fate
from limits import gates, reserves
from plans import Besides, Plan
from traces import BUSY, LENGTH, SHORT, crowded, gated, large, played, recurrent, thinned
from written import written

from kvref.errors import ConfigurationError
from kvref.fuzz.cases import draw_case, random_of
from kvref.operations import Configuration
from kvref.targets.base import Digester
from kvref.targets.inprocess import InProcessSession
from kvref.targets.session import block_ids

MOST_SECONDS = 120
"""A mutant has so much processor time."""

Shown = tuple[str, ...]
"""What tells a difference here, and what was seen."""


class Opener(NamedTuple):
    """Opens sessions over one manager."""

    session: type[InProcessSession]
    manager: Callable[..., Any]

    def open(self, configuration: Configuration, hooks: Hooks | None = None) -> InProcessSession:
        """A session, whose manager tells the hooks."""
        made = self.manager if hooks is None else partial(self.manager, metrics_collector=hooks)
        opened: InProcessSession = type("Opened", (self.session,), {"manager_class": made})(configuration)
        return opened


FUZZED: dict[int, Besides] = {1: "hooks", 3: "blunders", 4: "asks", 5: "looks", 7: "limits", 9: "blunders"}
"""By the last digit of its number, what is done besides a trace of the fuzzer's."""


class Drawn(NamedTuple):
    """A plan with what the other manager showed on it; None if it was refused."""

    plan: Plan
    shown: list[Shown] | None


def draw_deck(opener: Opener, seed: int, cases: int) -> list[Drawn]:
    """So many cases: some written by hand, the fuzzer's, and some of other sizes than the fuzzer draws."""
    plans = written()
    plans += [_plan(opener, seed, number) for number in range(len(plans), cases)]
    return [_drawn(opener, plan) for plan in plans]


def _plan(opener: Opener, seed: int, number: int) -> Plan:
    choices = random_of(seed, "mixed", number)
    match number % 10:
        case 0:
            return Plan(played(opener.open, choices, large(choices), BUSY, SHORT), ("looks", "blunders"))
        case 2:
            return Plan(played(opener.open, choices, crowded(choices), BUSY), ("looks", "blunders"))
        case 6:
            drawn = (recurrent, thinned)[number // 10 % 2](choices)
            return Plan(played(opener.open, choices, drawn, BUSY), ("looks", "limits", "blunders"))
        case 8 if number // 10 % 2:
            return Plan(forked(opener.open, choices), ("looks", "blunders"))
        case 8:
            return Plan(played(opener.open, choices, gated(choices), BUSY), ("looks", "limits"))
        case digit:
            case = draw_case(seed, "mixed", number, LENGTH, opener.open, (), guidance=True)
            return Plan(case.trace, (FUZZED[digit],))


def _drawn(opener: Opener, plan: Plan) -> Drawn:
    try:
        return Drawn(plan, list(_played(opener, plan)))
    except ConfigurationError:
        return Drawn(plan, None)


def try_on(opener: Opener, deck: list[Drawn]) -> Fate:
    """Play cases until one shows a difference in an answer or in the state; what is raised is one, too."""
    began = time.process_time()
    killer, cases, seen = None, 0, 0
    for drawn in deck:
        if killer is not None or time.process_time() - began > MOST_SECONDS:
            break
        killer, more = _difference(opener, drawn)
        cases, seen = cases + 1, seen + more
    return Fate(killer, cases, seen, time.process_time() - began)


def _difference(opener: Opener, drawn: Drawn) -> tuple[str | None, int]:
    """What shows that this is another manager, if anything does, and after how much that was seen."""
    seen = 0
    try:
        for before, now in zip_longest(drawn.shown or (), _played(opener, drawn.plan)):
            seen += 1
            if before != now:
                return (before or now)[0], seen
    except ConfigurationError:
        return None if drawn.shown is None else "difference", seen
    except Exception as error:  # noqa: BLE001 - a mutant may raise anything
        return type(error).__name__, seen
    return "difference" if drawn.shown is None else None, seen


def _played(opener: Opener, plan: Plan) -> Iterator[Shown]:
    """What is seen, one after another."""
    hooks = Hooks() if "hooks" in plan.besides else None
    session = opener.open(plan.trace.configuration, hooks)
    digester = Digester()
    for operation in plan.trace.operations:
        yield "difference", digester.digest(session.apply(operation), session.view()).hex()
        if "looks" in plan.besides:
            yield "lookup", str([_looked(session, name) for name in session.requests])
        if hooks is not None:
            yield "hooks", str(hooks.take())
    if "asks" in plan.besides:
        yield from (("answer", *told) for told in answers(session))
    if "blunders" in plan.besides:
        yield from (("blunder", *told) for told in blunders(session))
    if "limits" in plan.besides:
        yield from (("limit", *told) for told in reserves(session))
        yield from (("limit", *told) for told in gates(session, plan.trace.configuration))


def _looked(session: InProcessSession, name: str) -> tuple[Any, int, list[int]]:
    found, length = session.manager.get_computed_blocks(session.requests[name])
    return block_ids(found), length, session.manager.get_num_common_prefix_blocks(name)
