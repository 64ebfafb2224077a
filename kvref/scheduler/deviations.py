"""Which operations of a catalogued deviation's trace the real scheduler was not seen to do."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from kvref.operations import Trace
from kvref.scheduler.legality import follow
from kvref.scheduler.situations import Transition
from kvref.targets.deviations import Deviation
from kvref.targets.picture import Opener


def unseen_in(opener: Opener, trace: Trace, seen: AbstractSet[Transition]) -> list[str]:
    """The transitions of a trace that are not among those that were seen, in order; and what is illegal."""
    session = opener(trace.configuration)
    performed = [(operation, session.apply(operation)) for operation in trace.operations]
    followed = follow(trace.configuration, performed, trace.configuration.max_model_len)
    told = [f"{name}: {where}" for name, where in followed.transitions if (name, where) not in seen]
    breach = followed.breach
    return told if breach is None else [*told, f"operation {breach.at} is illegal: {breach.why}"]


def lines(
    opener: Opener, traces: Iterable[tuple[Deviation, Trace]], seen: AbstractSet[Transition]
) -> Sequence[str]:
    """A table, as lines of Markdown."""
    rows = []
    for deviation, trace in traces:
        unseen = [] if deviation.at_construction else unseen_in(opener, trace, seen)
        told = "; ".join(unseen) or "-"
        rows.append(f"| {deviation.id} | {deviation.title} | {told} |")
    return [
        "",
        "## The catalogued deviations",
        "",
        "Operations of a deviation's minimal trace that are legal, and were not seen.",
        "Those that are met at construction ask for no scheduler.",
        "",
        "| id | deviation | legal, and not seen |",
        "| --- | --- | --- |",
        *rows,
    ]
