"""The picture: how many times faster than vLLM, and the cost of a call by the pool's size."""

from pathlib import Path
from statistics import median
from typing import Any, Final

from kvref.bench.implementations import MODULES
from kvref.bench.results import SUMMED, UNITS, BenchResult, ReleaseResult, WorkloadResult, ratio
from kvref.bench.workloads import POOLS
from kvref.errors import UserError

SHOWN: Final = ("full", "hybrid")
KINDS: Final = (".svg", ".png")
COLOURS: Final = {"reference": "#9aa5b1", "optimized": "#3f8fc4", "compiled": "#14507a"}
BASELINE_COLOUR: Final = "#c4663f"
POOL_PHASE: Final = "decode"


def check(path: Path) -> None:
    """Refuse what cannot be drawn before anything is measured."""
    if path.suffix not in KINDS:
        raise UserError(f"--plot {path}: name a file that ends in {' or '.join(KINDS)}")
    _pyplot()


def draw(path: Path, result: BenchResult) -> None:
    """Draw the first release's figures into `path`."""
    found = result.releases[0]
    pyplot = _pyplot()
    panels = [w for w in found.workloads if w.name in SHOWN and not w.disagreement]
    pools = [w for w in found.workloads if w.name in POOLS and not w.disagreement]
    count = len(panels) + bool(pools)
    if not count:
        raise UserError(f"--plot shows {', '.join((*SHOWN, *POOLS))}, none of which was measured")
    figure, grid = pyplot.subplots(1, count, figsize=(4.2 * count, 3.4), squeeze=False, layout="constrained")
    axes = list(grid[0])
    for panel, workload in zip(axes, panels, strict=False):
        _ratios(panel, workload, found)
    if pools:
        _pools(axes[-1], pools, found)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    # Without a date, and with fixed ids: the same figures give the same file.
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata=metadata, dpi=150)
    except OSError as failure:
        raise UserError(f"{path} cannot be written ({failure.strerror}): choose another place") from failure
    finally:
        pyplot.close(figure)


def _ratios(axes: Any, workload: WorkloadResult, found: ReleaseResult) -> None:
    """A bar for every phase and implementation, on a logarithmic scale."""
    names = [name for name in MODULES if workload.of(name) and name != found.baseline]
    width = 0.8 / max(len(names), 1)
    for number, name in enumerate(names):
        heights = [ratio(workload, phase, name, found.baseline) or 1.0 for phase in SUMMED]
        places = [place + (number - (len(names) - 1) / 2) * width for place in range(len(SUMMED))]
        bars = axes.bar(places, [h - 1 for h in heights], width, 1.0, color=COLOURS[name], label=name)
        axes.bar_label(bars, [f"{h:.1f}" for h in heights], fontsize=7)
    axes.axhline(1.0, color=BASELINE_COLOUR, label=found.baseline)
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_xticks(range(len(SUMMED)), SUMMED)
    axes.set_title(f"{workload.name}: times faster than {found.baseline}", fontsize=9)


def _pools(axes: Any, pools: list[WorkloadResult], found: ReleaseResult) -> None:
    """A line for every implementation: microseconds a decode call against blocks."""
    sizes = [POOLS[pool.name] for pool in pools]
    for name in (*MODULES, found.baseline) if found.release else MODULES:
        measured = [m for pool in pools if (m := pool.of(name))]
        if measured:
            costs = [median(m.phases[POOL_PHASE].microseconds(UNITS[POOL_PHASE])) for m in measured]
            axes.plot(sizes, costs, "o-", color=COLOURS.get(name, BASELINE_COLOUR), label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_xlabel("blocks in the pool", fontsize=8)
    axes.set_title(f"µs a {POOL_PHASE} call", fontsize=9)


def _pyplot() -> Any:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - heavy, and optional
        from matplotlib import pyplot as plt  # noqa: PLC0415 - the same
    except ModuleNotFoundError as absent:
        raise UserError("--plot needs the package matplotlib: pip install kvref[plot]") from absent
    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "kvref"
    return plt
