"""Findings of one shape are one, whoever found them and in whatever order."""

from itertools import permutations

import msgspec
import pytest

from kvref.compare import Difference
from kvref.fuzz import findings
from kvref.fuzz.findings import Findings, shape_of
from kvref.fuzz.tally import decode, encode
from kvref.judge import Finding
from kvref.operations import (
    Configuration,
    Free,
    FullGroup,
    NewRequest,
    NewStep,
    Operation,
    SlidingGroup,
    Trace,
)

FULL = Configuration((FullGroup(4),), 9, 64, 4, 4)
WINDOW = Configuration((SlidingGroup(4, 9),), 9, 64, 4, 4)


def found(
    *names: str, case: int = 0, steps: int = 0, of: Configuration = FULL, last: Operation | None = None
) -> Finding:
    last = last or Free("r1")
    operations = (NewRequest("r1", (1,)), *[NewStep()] * steps, last)
    told = tuple(Difference(name, "this", "that") for name in names or ("free queue",))
    return Finding(Trace(of, operations, seed=1, case=case), last, told)


def test_findings_that_differ_in_numbers_and_names_are_one() -> None:
    first, second = found("users of block 3", "tables of r1"), found("tables of r1", "users of block 14")
    assert shape_of(first) == shape_of(second)
    assert shape_of(first).what == ("tables of", "users of block")


@pytest.mark.parametrize(
    "other", [found("usage"), found(of=WINDOW), found(last=NewStep()), found("free queue", "usage")]
)
def test_what_differs_where_and_in_which_configuration_parts_findings(other: Finding) -> None:
    assert shape_of(other) != shape_of(found())


def test_the_shortest_trace_is_kept_and_all_are_counted() -> None:
    kept = Findings()
    for steps, case in ((4, 1), (2, 9), (2, 5), (3, 2)):
        kept.add(found(steps=steps, case=case))
    assert [finding.trace.case for finding in kept] == [5]
    assert [one.count for one in kept.kept.values()] == [4]
    assert kept.total == 4


MANY = [
    found(name, case=case) for case, name in enumerate(("usage", "keys", "usage", "stats", "keys", "done"))
]


@pytest.mark.parametrize("most", [2, 100])
def test_neither_order_nor_parting_changes_what_is_kept(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MOST_SHAPES", most)

    def merged(parts: list[list[Finding]]) -> Findings:
        whole = Findings()
        for part in parts:
            one = Findings()
            for finding in part:
                one.add(finding)
            whole.merge(one)
        return whole

    expected = merged([MANY])
    assert len(expected) == min(most, 4)
    assert expected.total == len(MANY)
    for order in permutations(MANY):
        assert merged([[finding] for finding in order]) == expected
        assert merged([list(order[:2]), list(order[2:])]) == expected


def test_findings_of_one_sort_are_told_together_the_most_frequent_first() -> None:
    kept = Findings()
    for finding in (found("usage"), found("stats"), found("stats", of=WINDOW, steps=3)):
        kept.add(finding)
    sorts = kept.sorts()
    assert [[one.shape.what for one in alike] for alike in sorts] == [[("stats",)] * 2, [("usage",)]]
    assert len(sorts[0][0].shortest.trace.operations) == 2


def test_findings_are_sent_whole() -> None:
    kept = Findings()
    for finding in MANY:
        kept.add(finding)
    kept.add(Finding(Trace(FULL, ()), None, (Difference("construction", "built", "no"),)))
    assert decode(encode(kept), Findings) == kept
    assert msgspec.msgpack.decode(encode(kept))["total"] == len(MANY) + 1
