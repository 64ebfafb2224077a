"""The README shows what the benchmark printed, and nothing else."""

import re
from pathlib import Path

import msgspec
import pytest

from kvref.bench.results import BenchResult, Phase, mean_ratio, ratio

ROOT = Path(__file__).parents[2]
RESULT = msgspec.json.decode((ROOT / "docs" / "bench.json").read_bytes(), type=BenchResult)
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = [(name, form) for name in ("full", "hybrid") for form in ("optimized", "compiled")]
ROWS: dict[str, Phase | None] = {
    "lookup, a hit block": "lookup",
    "prefill, a block": "prefill",
    "prefill with hits, a block": "adopt",
    "prefill with evictions, a block": "evict",
    "decode, a call": "decode",
    "free, a block": "free",
    "geometric mean of lookup, prefill, decode, free": None,
}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_what_was_measured(row: str) -> None:
    found = RESULT.releases[0]
    workloads = {workload.name: workload for workload in found.workloads}
    phase = ROWS[row]
    measured = [
        mean_ratio(workloads[name], form, found.baseline)
        if phase is None
        else ratio(workloads[name], phase, form, found.baseline)
        for name, form in COLUMNS
    ]
    shown = re.search(rf"^\| {re.escape(row)} \| (.*) \|$", README, re.MULTILINE)
    assert shown is not None
    cells = [float(cell.rstrip("\N{MULTIPLICATION SIGN}")) for cell in shown[1].split(" | ")]
    assert cells == [round(figure or 0.0, 1) for figure in measured]


def test_the_machine_and_the_effort_are_named() -> None:
    assert RESULT.machine in README
    assert f"medians of\n{RESULT.repeats} repetitions" in README
    assert not RESULT.quick
