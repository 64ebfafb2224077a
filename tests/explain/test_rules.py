"""The rules that a divergence is about."""

import re
from dataclasses import fields
from importlib.resources import files

import pytest

from invariants import STATE_INVARIANTS, STEP_INVARIANTS
from invariants.view import View
from kvref.compare import Difference
from kvref.explain.rules import (
    DECIDED_BY,
    JUDGED_BY,
    Known,
    broken_rules,
    deciding,
    mentioned,
    rules_of_invariant,
    statements,
    texts,
)
from kvref.operations import Allocate, Lookup, Observation
from kvref.targets.vllm.deviations import CATALOGUE
from tests.explain.test_sentences import OPERATIONS

INVARIANTS = [*(one.id for one in STATE_INVARIANTS), *(one.id for one in STEP_INVARIANTS)]
CITED = {rule for *_, ids in (*DECIDED_BY, *JUDGED_BY) for rule in ids.split()}


def test_the_index_of_rules_travels_with_the_package() -> None:
    assert files("spec").joinpath("RULES.md").is_file()
    assert texts()["HIT-7"] == "The hit is the largest aligned length that every group serves."


def test_every_rule_that_is_cited_has_a_text() -> None:
    assert [rule for rule in sorted(CITED) if rule not in texts()] == []
    departed = {rule for deviation in CATALOGUE for rule in mentioned(deviation.rule)}
    assert [rule for rule in sorted(departed) if rule not in texts()] == []


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_every_invariant_has_a_statement_and_rules(invariant: str) -> None:
    assert re.fullmatch(r"[A-Z][^\[\]]*\.", statements()[invariant])
    rules = rules_of_invariant(invariant)
    assert rules
    assert set(rules) <= set(texts())


COMPARED = {
    "ref_counts": "users of block 3",
    "keys": "key of block 3",
    "tables": "tables of r",
    "handled": "handled of r",
    "events": "event 0 block_hashes",
}
PARTS = [*Observation.__struct_fields__, *(field.name for field in fields(View))]


@pytest.mark.parametrize("part", sorted(set(PARTS)))
def test_whatever_differs_after_whatever_operation_some_rule_decides_it(part: str) -> None:
    what = COMPARED.get(part, part.replace("_", " "))
    assert all(deciding(what, operation) for operation, _ in OPERATIONS)


def test_a_difference_is_decided_by_the_rules_of_its_operation() -> None:
    assert deciding("tokens", Lookup("r")) == ["HIT-7", "HIT-8"]
    assert deciding("blocks", Allocate("r", 0, 1))[0] == "ALLOC-7"
    assert deciding("construction", None) == ["CFG-3"]
    assert deciding("a reads token 3 in group 0 (full): block 2", None) == ["PROTO-18"]
    assert deciding("nothing-leaks", None) == ["INV-1", "FREE-1"]


def test_a_range_of_ids_names_all_of_them() -> None:
    assert mentioned("as in MAP-1 to MAP-3, and Q-1; MAP-1") == ["MAP-1", "MAP-2", "MAP-3", "Q-1"]


TOKENS = (Difference("tokens", "0", "4"),)


def test_a_known_deviation_tells_its_own_rules() -> None:
    told = broken_rules(Known("Q-1", "unsafe", "", "EAGLE-1, HIT-7"), TOKENS, (), Lookup("r"))
    assert [rule.id for rule in told] == ["EAGLE-1", "HIT-7", "Q-1"]


def test_else_the_rules_that_decide_what_differs_are_told() -> None:
    told = broken_rules(None, TOKENS, (), Lookup("r"))
    assert [(rule.id, rule.why) for rule in told] == [
        ("HIT-7", "decides: tokens"),
        ("HIT-8", "decides: tokens"),
    ]
    assert broken_rules(None, (), (), None) == ()
