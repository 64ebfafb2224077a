"""What `kvref demo` prints: all but the speeds follows from the seed."""

from rich.console import Console
from rich.table import Table

from kvref.dataplane.transformer import workload
from kvref.dataplane.transformer.demo import Result
from kvref.dataplane.transformer.verify import TOLERANCE

COUNTS = {
    "tokens looked up": "queried_tokens",
    "  of them hit": "hit_tokens",
    "blocks saved": "hit_blocks",
    "tokens computed": "computed_tokens",
    "blocks evicted": "evictions",
    "requests preempted": "preemptions",
    "drafts accepted": "accepted_drafts",
    "drafts rejected": "rejected_drafts",
    "steps": "steps",
    "output tokens": "output_tokens",
}


def tell(console: Console, result: Result) -> None:
    """The figures side by side, and what the comparison came to."""
    lines = (_title(result), _table(result), _savings(result), _speeds(result), _verdict(result))
    for line in lines:
        console.print(line, highlight=False, soft_wrap=isinstance(line, str))


def _title(result: Result) -> str:
    names = [type(workload.KINDS[group]).__struct_config__.tag for group in workload.LAYERS]
    requests = len(result.workload.jobs)
    return (
        f"Seed {result.workload.seed}: {requests} requests through the {result.manager} manager, on "
        f"{result.device}.\nLayers: {', '.join(map(str, names))}; a pool of {workload.NUM_BLOCKS} blocks."
    )


def _table(result: Result) -> Table:
    table = Table()
    for column in ("", "prefix cache", "no prefix cache", "no cache at all"):
        table.add_column(column, justify="right" if column else "left")
    outputs = result.workload.output_tokens
    alone = {"computed_tokens": result.dense_tokens, "steps": outputs, "output_tokens": outputs}
    for title, name in COUNTS.items():
        figures = [getattr(run.counts, name) for run in (result.cached, result.uncached)]
        told = [f"{figure:,}" for figure in (*figures, *([alone[name]] if name in alone else []))]
        table.add_row(title, *told)
    speeds = (result.cached.seconds, result.uncached.seconds, result.dense_seconds)
    table.add_row("output tokens a second", *(f"{result.speed(seconds):,.0f}" for seconds in speeds))
    return table


def _savings(result: Result) -> str:
    counts = result.cached.counts
    rate = counts.hit_tokens / counts.queried_tokens
    return f"Hit rate {rate:.1%}: {counts.hit_blocks} blocks were shared instead of being computed again."


def _speeds(result: Result) -> str:
    cached = result.speed(result.cached.seconds)
    without, alone = result.speed(result.uncached.seconds), result.speed(result.dense_seconds)
    repeats = len(result.dense_seconds)
    return (
        f"Output tokens a second, with the prefix cache: {cached / without:.2f} times those of the same "
        f"engine without it, {cached / alone:.1f} times those of computing every token anew "
        f"({'one run each' if repeats == 1 else f'medians of {repeats} runs in turn'})."
    )


def _verdict(result: Result) -> str:
    comparisons = (result.cached.comparison, result.uncached.comparison)
    tokens = "All tokens are" if all(one.identical for one in comparisons) else "NOT ALL TOKENS ARE"
    difference = max(one.largest_difference for one in comparisons)
    lead = min(one.narrowest_lead for one in comparisons)
    return (
        f"{tokens} those of the model without any cache. The largest difference of "
        f"{result.workload.output_tokens} x {workload.SHAPE.vocabulary} logits is {difference:.1e} "
        f"({TOLERANCE:.0e} is allowed); the closest choice of a token was won by {lead:.1e}."
    )
