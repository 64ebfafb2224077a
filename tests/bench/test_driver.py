from typing import Any

import pytest

from kvref.bench.driver import Driver, StuckError
from kvref.bench.meter import Meter
from kvref.bench.workloads import Wave, Workload, again
from kvref.operations import FullGroup, MambaGroup
from tests.bench.small import jobs, reference, workload

SOME = jobs(1, (0, 3_000, 5), (0, 500, 7), (2, 40, 1), (60, 2_500, 3))


def driven(what: Workload) -> tuple[Meter, Any]:
    implementation, meter = reference(), Meter()
    manager = implementation.manager(what.configuration)
    Driver(implementation, manager, what, meter, thorough=True).run()
    return meter, manager


@pytest.mark.parametrize("prefill_first", [True, False])
def test_every_request_is_served(prefill_first: bool) -> None:
    meter, manager = driven(workload(Wave(SOME), prefill_first=prefill_first))
    assert manager.usage == 0
    decodes = meter.spent["decode"].calls + len(meter.latencies)
    assert decodes == sum(job.output - 1 for job in SOME)
    assert meter.spent["free"].calls == len(SOME)
    assert meter.counts["preemptions"] == 0
    full_blocks = sum(-(-(job.prompt + job.output - 1) // 16) for job in SOME)
    assert full_blocks < meter.spent["free"].blocks < 2 * full_blocks


def test_the_same_prompts_again_are_hits() -> None:
    meter, _ = driven(workload(Wave(SOME), Wave(again(SOME))))
    assert meter.spent["miss"].calls == len(SOME)
    assert meter.spent["lookup"].calls == meter.spent["adopt"].calls == len(SOME)
    assert meter.counts["hit_tokens"] == sum((job.prompt - 1) // 16 * 16 for job in SOME)


def test_a_wave_says_what_its_prefill_is_measured_as() -> None:
    meter, _ = driven(workload(Wave(SOME, "evict")))
    assert "prefill" not in meter.spent
    assert meter.spent["evict"].blocks > 0


def test_chunks_keep_the_budget_of_a_step() -> None:
    meter, _ = driven(workload(Wave(jobs(1, (0, 5_000, 1)))))
    assert meter.spent["prefill"].calls == 3
    assert meter.counts["steps"] == 3


def test_aligned_states_end_a_chunk_with_the_last_full_block() -> None:
    groups = (FullGroup(16), MambaGroup(16, mode="align"))
    meter, _ = driven(workload(Wave(jobs(1, (0, 100, 1))), groups=groups))
    assert meter.spent["prefill"].calls == 2


def test_no_wait_for_an_arrival() -> None:
    meter, _ = driven(workload(Wave(jobs(1, (0, 20, 2), (1_000_000, 20, 2)))))
    assert meter.counts["steps"] == 1_000_002


def test_a_small_pool_preempts_and_all_is_served() -> None:
    crowd = jobs(1, *[(0, 100, 60)] * 4)
    meter, manager = driven(workload(Wave(crowd), pool=35, groups=(FullGroup(16),)))
    assert meter.counts["preemptions"] > 0
    assert manager.usage == 0
    assert meter.spent["free"].calls == len(crowd) + meter.counts["preemptions"]


def test_a_pool_that_is_too_small_is_told() -> None:
    with pytest.raises(StuckError, match="does not fit"):
        driven(workload(Wave(jobs(1, (0, 1_000, 1))), pool=20))


def test_the_same_run_has_the_same_digests_and_another_has_not() -> None:
    one, _ = driven(workload(Wave(SOME)))
    same, _ = driven(workload(Wave(SOME)))
    other, _ = driven(workload(Wave(tuple(reversed(SOME[:3])))))
    assert one.digests() == same.digests()
    assert one.digests().keys() == {"miss", "prefill", "decode", "free"}
    assert one.digests()["prefill"] != other.digests()["prefill"]
