"""The index of rules in `spec/RULES.md` is true: what cites a rule, and what shows it, is as it says.

After a change of citations: `python -m tests.rules_index`.
"""

from functools import cache

import pytest

from tests.rules_index import (
    CODE,
    INDEX,
    OUT_OF_SCOPE,
    ROOT,
    SHOWN,
    Rule,
    cited,
    mentions,
    mirror,
    read_index,
    texts,
)

RULES = read_index(INDEX.read_text(encoding="utf-8"))
IDS = {rule.id for rule in RULES}
IN_SCOPE = [rule for rule in RULES if rule.section != OUT_OF_SCOPE]


@cache
def citations() -> dict[str, set[str]]:
    """By module, the ids that it cites."""
    return {path: cited(source) for path, source in texts(*CODE).items()}


@cache
def mentioned_in(path: str) -> set[str]:
    return mentions((ROOT / path).read_text(encoding="utf-8"))


def test_every_rule_has_one_row_and_a_statement() -> None:
    assert len(IDS) == len(RULES)
    assert all(rule.statement for rule in RULES)


def test_every_id_that_code_cites_is_in_the_index() -> None:
    strangers = {path: sorted(ids - IDS) for path, ids in citations().items() if ids - IDS}
    assert strangers == {}


@pytest.mark.parametrize("rule", IN_SCOPE, ids=lambda rule: rule.id)
def test_a_rule_is_cited_where_the_index_says(rule: Rule) -> None:
    assert bool(rule.where) == (rule.section != SHOWN), "no module cites it"
    for path in rule.where:
        assert rule.id in citations()[path], f"{path} does not cite {rule.id}"


@pytest.mark.parametrize("rule", IN_SCOPE, ids=lambda rule: rule.id)
def test_a_rule_is_shown_by_the_tests_that_the_index_names(rule: Rule) -> None:
    mirrors = {mirror(path) for path in rule.where}
    assert rule.tests, "no test shows it"
    for path in rule.tests:
        assert (ROOT / path).exists(), f"{path} does not exist"
        assert rule.id in mentioned_in(path) or path in mirrors, f"{path} does not mention {rule.id}"


def test_what_is_shown_by_tests_alone_is_cited_by_no_code() -> None:
    cited_somewhere = set().union(*citations().values())
    assert [rule.id for rule in RULES if rule.section == SHOWN and rule.id in cited_somewhere] == []


def test_ids_are_found_in_brackets_in_ranges_and_as_quirks() -> None:
    assert cited("as observed [SWA-1, FREE-1 to FREE-3], see HIT-1 and Q-2") == {
        "SWA-1",
        "FREE-1",
        "FREE-2",
        "FREE-3",
        "Q-2",
    }
