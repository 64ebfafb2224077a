"""What a proof is made of: a claim for all sizes, and a wrong variant that must fall.

A theorem is proved when z3 finds no values that satisfy its assumptions and contradict its claim. A proof
of nothing would be one whose assumptions cannot hold: so each theorem also carries `wrong`, a claim that
looks alike and is false under assumptions of the same kind, and z3 must find values that contradict it.

Effort is bounded by z3's own count of steps, not by seconds: a slow machine gives the same answers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import z3

EFFORT = 50_000_000
"""z3's `rlimit`: steps of the solver."""


class Answer(Enum):
    """What z3 says of a claim."""

    PROVED = "proved"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Claim:
    """`conclusion` holds wherever all `assumptions` do."""

    assumptions: tuple[z3.BoolRef, ...]
    conclusion: z3.BoolRef


@dataclass(frozen=True)
class Theorem:
    """A statement in words, the claims that are it, and one that must be refuted.

    A statement with several claims holds if all do: one for each operation, or lemmas in a row.
    """

    statement: str
    rules: tuple[str, ...]
    claims: Callable[[], tuple[Claim, ...]]
    wrong: Callable[[], Claim]
    why_wrong: str


def decide(claim: Claim, effort: int = EFFORT) -> Answer:
    """Whether values exist that satisfy the assumptions and contradict the conclusion."""
    solver = z3.Solver()
    solver.set("rlimit", effort)
    solver.add(*claim.assumptions, z3.Not(claim.conclusion))
    found = solver.check()
    if found == z3.unsat:
        return Answer.PROVED
    return Answer.REFUTED if found == z3.sat else Answer.UNDECIDED


def can_hold(claim: Claim, effort: int = EFFORT) -> bool:
    """Whether values exist that satisfy the assumptions: else any conclusion would follow."""
    solver = z3.Solver()
    solver.set("rlimit", effort)
    solver.add(*claim.assumptions)
    return bool(solver.check() == z3.sat)


def decide_all(theorem: Theorem, effort: int = EFFORT) -> Answer:
    """What z3 says of the whole theorem: the first answer of a claim that is not proved."""
    answers = (decide(claim, effort) for claim in theorem.claims())
    return next((answer for answer in answers if answer is not Answer.PROVED), Answer.PROVED)
