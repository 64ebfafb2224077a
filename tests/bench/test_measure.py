from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kvref.bench.footprint import footprint
from kvref.bench.implementations import Implementation
from kvref.bench.measure import Driven, Hashing, measure
from kvref.bench.results import WorkloadResult
from kvref.bench.workloads import Wave, again
from tests.bench.small import Faulty, jobs, reference, workload

SOME = jobs(1, (0, 3_000, 5), (0, 500, 7), (0, 40, 40))
SUBJECT = Driven(workload(Wave(SOME), Wave(again(SOME))))


def measured(*implementations: Implementation) -> WorkloadResult:
    return measure(SUBJECT, implementations, 2, lambda _: None)


def test_managers_that_decide_alike_are_measured() -> None:
    result = measured(reference(), Faulty(lambda _: None))
    assert result.disagreement is None
    assert [one.implementation for one in result.measured] == ["reference", "faulty"]
    one, other = result.measured
    assert one.phases.keys() == other.phases.keys()
    assert one.phases.keys() == {"miss", "lookup", "adopt", "prefill", "ids", "decode", "free"}
    for phase, figures in one.phases.items():
        assert len(figures.seconds) == 2
        assert (figures.calls, figures.blocks) == (other.phases[phase].calls, other.phases[phase].blocks)
    assert one.phases["free"].blocks > 0
    assert one.tail is not None
    assert one.tail.p50 <= one.tail.p99 <= one.tail.p999 <= one.tail.longest
    assert 0 < result.statistics["hit_rate"] < 1


def never_hits(manager: Any) -> None:
    manager.get_computed_blocks = lambda _: (manager.empty_kv_cache_blocks, 0)


def takes_another_block(manager: Any) -> None:
    queue = manager.pool.free_queue
    queue[5] = queue.pop(5)


def refuses_decodes(manager: Any) -> None:
    original = manager.allocate_slots
    refused: list[Any] = []

    def allocate(request: Any, new: int, **more: Any) -> Any:
        if new == 1 and not refused:
            refused.append(request)
            return None
        return original(request, new, **more)

    manager.allocate_slots = allocate


@pytest.mark.parametrize(
    ("change", "phase"),
    [(never_hits, "lookup"), (takes_another_block, "prefill"), (refuses_decodes, "decode")],
)
def test_another_answer_voids_the_figures(change: Callable[[Any], None], phase: str) -> None:
    result = measured(reference(), Faulty(change))
    assert result.measured == ()
    assert result.disagreement is not None
    assert result.disagreement.startswith("faulty answers otherwise than reference in ")
    assert phase in result.disagreement


def test_a_manager_that_raises_is_told() -> None:
    def breaks(manager: Any) -> None:
        manager.free = None

    result = measured(reference(), Faulty(breaks))
    assert result.disagreement == "faulty failed: TypeError: 'NoneType' object is not callable"


def test_a_manager_that_cannot_be_built_is_told() -> None:
    def refuses(_: Any) -> None:
        raise ValueError("no such groups")

    result = measured(reference(), Faulty(refuses))
    assert result.disagreement == "faulty cannot be built: ValueError: no such groups"


def test_hashing_is_measured_apart() -> None:
    result = measure(Hashing(1), [reference()], 1, lambda _: None)
    (one,) = result.measured
    assert one.phases.keys() == {"hashing"}
    assert one.phases["hashing"].blocks == 8 * 512


def test_a_footprint_counts_what_a_pool_takes() -> None:
    told: list[str] = []
    one = footprint(reference(), 1_000, 2, told.append)
    assert len(one.construct_seconds) == 2
    assert 50 < one.bytes_a_block < one.bytes_a_cached_block < 2_000
    assert len(told) == 3


def test_every_manager_is_built_as_the_configuration_says() -> None:
    # A manager that tells no events would win against one that does.
    configuration = workload().configuration
    assert (configuration.log_stats, configuration.enable_kv_cache_events) == (True, False)
    for telling in (False, True):
        asked = msgspec.structs.replace(configuration, log_stats=telling, enable_kv_cache_events=telling)
        own = reference().manager(asked).config
        assert (own.log_stats, own.enable_kv_cache_events) == (telling, telling)
