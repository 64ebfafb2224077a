"""The small scopes of `kvref check`, as statements for the explicit-state checker."""

from collections.abc import Iterator
from functools import partial

from kvref.check.configurations import ALL, FAST, rules_of
from kvref.check.run import run
from tools.prove.statement import Reach, Statement, Verdict

MOST_TRANSITIONS = 1_000_000
"""So far a configuration of the long part is followed."""

REACH = {"exhausted": Reach.EXHAUSTED, "bound": Reach.OPEN}


def names(*, is_long: bool) -> tuple[str, ...]:
    """The configurations that are visited."""
    return ALL if is_long else FAST


def state_statements(name: str) -> Iterator[Statement]:
    """One statement of one configuration."""
    text = f"Reference and optimized manager agree and keep the invariants in every small state: {name}"
    yield Statement(text, rules_of(name), "states", partial(_judge, name))


def _judge(name: str) -> Verdict:
    (result,) = run([name], most_transitions=MOST_TRANSITIONS)
    detail = f"{result.told}: {result.states} states, {result.transitions} transitions of {result.bound}"
    return Verdict(REACH.get(result.ending, Reach.REFUTED), detail)
