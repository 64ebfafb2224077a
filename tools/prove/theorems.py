"""The theorems of `spec.proofs`, as statements for z3."""

from collections.abc import Iterator
from functools import partial

from spec.proofs import THEOREMS, Answer, Theorem, decide, decide_all
from tools.prove.statement import Reach, Statement, Verdict

REACH = {Answer.PROVED: Reach.PROVED, Answer.UNDECIDED: Reach.OPEN, Answer.REFUTED: Reach.REFUTED}


def theorem_statements() -> Iterator[Statement]:
    """A statement a theorem."""
    for theorem in THEOREMS:
        yield Statement(theorem.statement, theorem.rules, "z3", partial(_judge, theorem))


def _judge(theorem: Theorem) -> Verdict:
    wrong_is_refuted = decide(theorem.wrong()) is Answer.REFUTED
    return Verdict(REACH[decide_all(theorem)], "", theorem.why_wrong, wrong_is_refuted)
