"""The small scopes of `kvref check`, as statements for the explicit-state checker."""

from collections.abc import Iterator
from functools import partial

from kvref.check.configurations import rules_of
from kvref.check.run import run
from tools.prove.statement import Reach, Statement, Verdict

REACH = {"exhausted": Reach.EXHAUSTED, "bound": Reach.OPEN}


def state_statements(name: str) -> Iterator[Statement]:
    """One statement of one configuration."""
    text = f"Reference and optimized manager agree and keep the invariants in every small state: {name}"
    yield Statement(text, rules_of(name), "states", partial(_judge, name))


def _judge(name: str) -> Verdict:
    (result,) = run([name])
    detail = f"{result.told}: {result.states} states, {result.transitions} transitions of {result.bound}"
    return Verdict(REACH.get(result.ending, Reach.REFUTED), detail)
