"""What guidance asks for comes more often, and nothing else has to be told."""

from dataclasses import replace

from kvref.fuzz.choices import Seeded
from kvref.fuzz.configurations import draw
from kvref.fuzz.weights import DEFAULT
from kvref.operations import Configuration, MambaGroup


def drawn(**changes: object) -> list[Configuration]:
    weights = replace(DEFAULT, **changes)  # type: ignore[arg-type]
    return [draw(Seeded(f"{number}"), "mixed", weights) for number in range(200)]


def test_a_kind_with_all_the_weight_is_the_only_one() -> None:
    alone: dict[str, object] = {"group_counts": (1,), "group_count_weights": (1,)}
    found = drawn(kind_weights=(0, 0, 0, 0, 0, 1), unusual=0.0, cross=0.0, **alone)
    assert all(isinstance(group, MambaGroup) for one in found for group in one.groups)


def test_what_is_certain_is_always_so_and_what_is_not_never() -> None:
    assert not any(one.enable_caching for one in drawn(caching=0.0, unusual=0.0))
    assert all(one.enable_kv_cache_events for one in drawn(events=1.0))
    assert not any(group.eagle for one in drawn(eagle=0.0) for group in one.groups)


def test_small_pools_are_smaller() -> None:
    def total(found: list[Configuration]) -> int:
        return sum(one.num_blocks for one in found)

    assert total(drawn(pools=(0.3,))) < total(drawn()) / 2
