from io import StringIO

import msgspec
import pytest
from rich.console import Console

from kvref.bench.report import tell_result
from kvref.bench.results import (
    BenchResult,
    Footprint,
    Measured,
    Phase,
    PhaseFigures,
    ReleaseResult,
    WorkloadResult,
    mean_ratio,
    ratio,
    spread,
    tail_of,
)

PHASES: tuple[Phase, ...] = ("lookup", "prefill", "decode", "free")


def measured(name: str, *seconds: float) -> Measured:
    figures = PhaseFigures(10, 100, seconds)
    return Measured(name, dict.fromkeys(PHASES, figures), tail_of([3_000, 1_000, 2_000]))


SLOW = measured("vllm==1.0.0", 1e-3, 2e-3, 9e-3)
FAST = measured("reference", 1e-4, 1e-3, 1e-3)
WORKLOAD = WorkloadResult("full", "one group", (FAST, SLOW))
VOID = WorkloadResult("hybrid", "four groups", (), disagreement="b answers otherwise than a in free")
FOOTPRINT = Footprint("reference", 1_000, (0.1, 0.3, 0.2), 0.01, 100.0, 200.0)


def release(*workloads: WorkloadResult) -> ReleaseResult:
    return ReleaseResult("1.0.0", "3.11", {"compiled": "not built"}, workloads, (FOOTPRINT,))


def result(*workloads: WorkloadResult) -> BenchResult:
    return BenchResult("a machine", 1, quick=False, repeats=3, seconds=12.0, releases=(release(*workloads),))


def test_a_ratio_pairs_repetitions() -> None:
    assert ratio(WORKLOAD, "decode", "reference", "vllm==1.0.0") == pytest.approx(9.0)
    assert ratio(WORKLOAD, "evict", "reference", "vllm==1.0.0") is None
    assert ratio(WORKLOAD, "decode", "optimized", "vllm==1.0.0") is None
    assert mean_ratio(WORKLOAD, "reference", "vllm==1.0.0") == pytest.approx(9.0)


def test_figures_by_call_and_by_block() -> None:
    figures = FAST.phases["decode"]
    assert figures.microseconds("call") == pytest.approx([10, 100, 100])
    assert figures.microseconds("block") == pytest.approx([1, 10, 10])


def test_spread_is_half_the_range_between_quartiles() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1 / 3)
    assert spread([1.0]) == 0.0


def test_a_tail_ranks_calls() -> None:
    tail = tail_of(list(range(1, 2_001)))
    assert tail is not None
    assert (tail.calls, tail.p50, tail.p99) == (2_000, 1_001e-9, 1_981e-9)
    assert (tail.p999, tail.longest) == (1_999e-9, 2_000e-9)
    assert tail_of([]) is None


def test_a_result_survives_json() -> None:
    told = result(WORKLOAD, VOID)
    assert msgspec.json.decode(msgspec.json.encode(told), type=BenchResult) == told


def test_the_report_has_every_implementation_and_tells_what_is_void() -> None:
    console = Console(width=160, file=StringIO())
    tell_result(console, result(WORKLOAD, VOID))
    assert isinstance(console.file, StringIO)
    told = console.file.getvalue()
    for part in ("full: one group", "not built", "vllm==1.0.0", "9\N{MULTIPLICATION SIGN}", "a machine"):
        assert part in told
    assert "four groups" not in told
    assert "hybrid: b answers otherwise than a in free" in told
