"""Who runs which cases: shards and slices leave nothing out, and do nothing twice."""

import pytest

from kvref.errors import UserError
from kvref.fuzz.settings import BATCH, Settings, Slice


def numbers(settings: Settings) -> list[int]:
    return [number for shard in settings.shards() for number in shard]


def test_shards_are_the_cases_in_order() -> None:
    assert numbers(Settings(1, 3 * BATCH + 1, first=7)) == list(range(7, 7 + 3 * BATCH + 1))


@pytest.mark.parametrize("of", [1, 2, 3, 16])
@pytest.mark.parametrize("cases", [1, BATCH, 5 * BATCH + 3, 40 * BATCH])
def test_the_union_of_the_slices_is_the_whole(of: int, cases: int) -> None:
    whole = Settings(1, cases, first=2)
    slices = [Settings(1, cases, first=2, slice=Slice(number, of)) for number in range(1, of + 1)]
    assert sorted(number for one in slices for number in numbers(one)) == numbers(whole)
    assert sum(one.own_cases or 0 for one in slices) == cases


def test_slices_are_equal_to_one_shard() -> None:
    sizes = [Settings(1, 50 * BATCH, slice=Slice(number, 16)).own_cases or 0 for number in range(1, 17)]
    assert max(sizes) - min(sizes) == BATCH


def test_a_campaign_without_a_number_of_cases_has_no_last_shard() -> None:
    shards = Settings(1, None, seconds=1.0, slice=Slice(2, 2)).shards()
    assert [next(shards).number for _ in range(3)] == [1, 3, 5]


def test_a_slice_is_read_as_it_is_written() -> None:
    assert Slice.parsed("3/16") == Slice(3, 16)
    assert str(Slice(3, 16)) == "3/16"


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2", "", "1.0/2"])
def test_no_other_text_is_a_slice(text: str) -> None:
    with pytest.raises(UserError, match="is no share"):
        Slice.parsed(text)
