"""The page of the protocol's transitions: seen from the real scheduler, or legal and not seen."""

from collections import Counter
from collections.abc import Sequence

from kvref.scheduler import answers
from kvref.scheduler.legality import Followed
from kvref.scheduler.recording import Recording
from kvref.scheduler.situations import Transition
from kvref.scheduler.unseen import UNSEEN
from kvref.scheduler.workloads import WORKLOADS

NAMED = 3
"""So many workloads are named beside a transition."""


def seen_in(followed: Sequence[tuple[Recording, Followed]]) -> Counter[Transition]:
    """How often each transition was gone through."""
    return sum((one.transitions for _, one in followed), Counter[Transition]())


def page(followed: Sequence[tuple[Recording, Followed]], command: str, more: Sequence[str] = ()) -> str:
    """Markdown; `more` are lines that follow."""
    counts = seen_in(followed)
    by_workload: dict[Transition, Counter[str]] = {}
    for recording, one in followed:
        for transition, count in one.transitions.items():
            by_workload.setdefault(transition, Counter())[recording.workload] += count
    calls = sum(len(recording.trace.operations) for recording, _ in followed)
    release = followed[0][0].release if followed else "?"
    lines = [
        "# The protocol, as the real scheduler keeps it",
        "",
        f"Written by `{command}`: {len(followed)} recordings of vLLM {release}'s `Scheduler` and `AsyncScheduler`,",
        f"{calls} calls to the manager. Every call is held against [`kvref/protocol.py`](../kvref/protocol.py), and",
        "every answer against the reference. A recording that shows a finding of the scheduler is followed up to it.",
        "",
        "| operation | situation | seen | where, most often |",
        "| --- | --- | ---: | --- |",
        *(
            f"| {name} | {where} | {counts[name, where]} | {_most(by_workload[name, where])} |"
            for name, where in sorted(counts)
        ),
        "",
        "## Legal, and not seen",
        "",
        "| operation | situation | why it is kept |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {where} | {why} |"
            for (name, where), why in sorted(UNSEEN.items())
            if not counts[name, where]
        ),
        "",
        "## The workloads",
        "",
        "| workload | shows | recordings | calls | with its finding |",
        "| --- | --- | ---: | ---: | --- |",
        *(_row(workload.name, workload.shows, followed) for workload in WORKLOADS),
        *answers.lines(),
        *more,
    ]
    return "\n".join(lines) + "\n"


def _most(workloads: Counter[str]) -> str:
    ordered = sorted(workloads.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(name for name, _ in ordered[:NAMED])


def _row(name: str, shows: str, followed: Sequence[tuple[Recording, Followed]]) -> str:
    own = [(recording, one) for recording, one in followed if recording.workload == name]
    calls = sum(len(recording.trace.operations) for recording, _ in own)
    showing = sum(one.breach is not None or recording.ended is not None for recording, one in own)
    finding = next((w.finding for w in WORKLOADS if w.name == name), None)
    tells = f"{finding.id} in {showing}" if finding is not None else ""
    return f"| {name} | {shows} | {len(own)} | {calls} | {tells} |"
