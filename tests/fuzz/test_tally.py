"""Reports add up, travel, and do not grow with the campaign."""

from collections import Counter

import pytest

from kvref.fuzz import sketch
from kvref.fuzz.settings import BATCH, Settings, Slice
from kvref.fuzz.sketch import Distinct
from kvref.fuzz.tally import Report, decode, encode
from tests.fuzz.crews import SETTINGS, alone, empty


def parts() -> list[Report]:
    """The shards of a campaign, each reported alone."""
    return [
        alone(Settings(1, BATCH, first=first, length=SETTINGS.length))
        for first in range(0, SETTINGS.cases or 0, BATCH)
    ]


def test_shards_add_up_to_the_campaign_in_any_order() -> None:
    shards = parts()
    for order in (shards, shards[::-1], shards[3:] + shards[:3]):
        whole = empty()
        for shard in order:
            whole.merge(shard)
        assert whole.timeless == alone().timeless


def test_slices_add_up_to_the_campaign() -> None:
    whole = empty()
    for number in (3, 1, 2):
        whole.merge(alone(Settings(1, SETTINGS.cases, length=SETTINGS.length, slice=Slice(number, 3))))
    assert whole.timeless == alone().timeless


def test_a_report_travels_whole() -> None:
    report = alone()
    assert report.findings
    assert decode(encode(report), Report) == report


def test_the_median_is_that_of_all_lengths() -> None:
    report = empty()
    report.lengths = Counter({3: 2, 10: 1, 60: 2})
    assert report.median_length == 10
    report.lengths[3] += 1
    assert report.median_length == 3
    assert empty().median_length == 0


@pytest.mark.parametrize("count", [0, 1, 5, sketch.KEPT - 1])
def test_few_different_things_are_counted_exactly(count: int) -> None:
    seen = Distinct()
    for number in [*range(count), *range(0, count, 3)]:
        seen.add(str(number).encode())
    assert (len(seen), str(seen)) == (count, str(count))


def test_many_different_things_are_counted_to_a_few_percent_in_bounded_memory() -> None:
    seen, halves = Distinct(), [Distinct(), Distinct()]
    count = 6 * sketch.KEPT
    for number in range(count):
        seen.add(str(number).encode())
        halves[number % 3 == 0].add(str(number).encode())
    assert len(seen.smallest) == sketch.KEPT
    assert abs(len(seen) - count) < count * 0.05
    assert str(seen).startswith("about ")
    halves[0].merge(halves[1])
    assert halves[0] == seen


def test_a_report_does_not_grow_with_the_campaign() -> None:
    """Counted: what is kept of many cases is no more than what is kept of some, but for their counts."""
    report = empty()
    shards = parts()
    for _ in range(40):
        for shard in shards:
            report.merge(shard)
    once = empty()
    for shard in shards:
        once.merge(shard)
    assert report.cases == 40 * once.cases
    assert len(encode(report)) < 1.1 * len(encode(once))
