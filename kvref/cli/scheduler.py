"""`kvref scheduler`: vLLM's own scheduler on this machine, its calls recorded and held against the reference."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from cyclopts import App
from rich.table import Table

from kvref.cli.common import DIVERGED, console, needing_torch, opened_target, require_positive, tell
from kvref.following import CannotFollowError
from kvref.replay import read_trace
from kvref.scheduler import deviations
from kvref.scheduler.collection import Listed, read_collection, sum_up, write_collection
from kvref.scheduler.held import answers, first_unlike, known_at, replayed
from kvref.scheduler.legality import Followed, follow_recording, unexplained
from kvref.scheduler.page import page as written_page
from kvref.scheduler.page import seen_in
from kvref.scheduler.recording import Recording
from kvref.scheduler.workload import Workload
from kvref.scheduler.workloads import WORKLOADS, named
from kvref.targets import vllm
from kvref.targets.base import Target
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.deviations import CATALOGUE
from kvref.targets.vllm.scheduler.process import RELEASE, SchedulerProcess

scheduler = App(
    name="scheduler", help="vLLM's own scheduler on a CPU, without weights: record it, and replay it."
)


@scheduler.command(name="list")
def list_workloads() -> int:
    """List the workloads."""
    table = Table(box=None, header_style="bold")
    for column in ("workload", "steps", "shows"):
        table.add_column(column, overflow="fold")
    for workload in WORKLOADS:
        table.add_row(workload.name, str(workload.steps), workload.shows)
    console.print(table)
    return 0


@scheduler.command
def record(*workloads: str, seed: int = 0, out: Path | None = None, python: Path | None = None) -> int:
    """Serve workloads with vLLM's scheduler, and record every call to its KV cache manager.

    Each call must be legal, and answered as the reference answers it.

    Parameters
    ----------
    workloads
        Their names; all of them, if none is given. See `kvref scheduler list`.
    seed
        All that users do follows from it.
    out
        The folder for the recordings: traces, which `kvref replay` and `kvref explain` read, and a list.
    python
        An interpreter that has vLLM 0.23.0, instead of an environment made for it.
    """
    chosen = [named(name) for name in workloads] or list(WORKLOADS)
    recordings: list[Recording] = []
    known: dict[int, str] = {}
    wrong = 0
    try:
        for recording in _recorded(chosen, range(seed, seed + 1), python):
            held = _hold(recording)
            tell(f"{recording.workload:24} {len(recording.trace.operations):5} calls  {held.outcome}")
            wrong += held.is_wrong
            if held.known is not None:
                known[len(recordings)] = held.known
            recordings.append(recording)
    finally:
        if out is not None:
            write_collection(out, recordings, known)
    where = "" if out is None else f" in {out}"
    calls = sum(len(recording.trace.operations) for recording in recordings)
    tell(f"{len(recordings)} recordings{where}, {calls} calls, {wrong} recordings with a call that is wrong")
    return DIVERGED if wrong else 0


@scheduler.command
def replay(
    folder: Path,
    *,
    target: str = f"vllm=={RELEASE}",
    level: Literal["exact", "safe"] = "exact",
    python: Path | None = None,
) -> int:
    """Replay recordings on a target.

    Parameters
    ----------
    folder
        Where `kvref scheduler record` wrote them.
    target
        What to replay them on: see `kvref targets`.
    level
        `exact` compares answers, state and events with the reference's after every call; `safe` keeps data
        behind the target's block ids, and tells what is read wrong, as far as a recording's calls are legal.
    python
        An interpreter that has the target, instead of an environment made for it.
    """
    recordings = read_collection(folder)
    opened = opened_target(target, python)
    try:
        if level == "safe":
            return _replay_safe(recordings, opened)
        return _replay_exact(recordings, opened)
    finally:
        opened.close()


def _replay_exact(recordings: list[tuple[Listed, Recording]], opened: Target) -> int:
    known: Counter[str] = Counter()
    agreed = differ = 0
    for listed, recording in recordings:
        if listed.known is None and sum_up(answers(ReferenceSession, recording.trace)) != listed.answers:
            differ += 1
            tell(f"{listed.file}: the reference does not answer as the live manager did")
        judgement = replayed(ReferenceSession, opened, recording)
        agreed += judgement.agreed
        if judgement.known is not None:
            known[judgement.known.id] += 1
        elif judgement.finding is not None:
            differ += 1
            tell(f"{listed.file}: {judgement.finding.title}")
    for deviation, count in sorted(known.items()):
        tell(f"known deviation {deviation} in {count} recordings")
    tell(f"{opened.name}: {agreed} calls of {len(recordings)} recordings agree, {differ} recordings differ")
    return DIVERGED if differ else 0


def _replay_safe(recordings: list[tuple[Listed, Recording]], opened: Target) -> int:
    with needing_torch("data behind block ids"):
        from kvref.scheduler.held_safe import safe  # noqa: PLC0415 - needs torch
    wrong = elsewhere = 0
    for listed, recording in recordings:
        seen = tuple(answers(ReferenceSession, recording.trace))
        followed = follow_recording(msgspec.structs.replace(recording, observations=seen))
        try:
            found = safe(opened, recording, followed)
        except CannotFollowError as leads:
            elsewhere += 1
            tell(f"{listed.file}: {leads}")
            continue
        if found.wrong:
            wrong += 1
            one = found.wrong[0]
            tell(f"{listed.file}, call {found.at}: {one.what}: {one.actual}, not {one.expected}")
    tell(
        f"{opened.name}: {len(recordings)} recordings, {wrong} with a wrong read, {elsewhere} followed up to where"
        " its answers lead elsewhere"
    )
    return DIVERGED if wrong else 0


@scheduler.command
def page(*, seeds: int = 30, out: Path = Path("docs/protocol.md"), python: Path | None = None) -> int:
    """Write the table of the protocol's transitions: which the scheduler was seen to go through.

    Parameters
    ----------
    seeds
        So many seeds of each workload, from 0 on.
    out
        The page.
    python
        An interpreter that has vLLM 0.23.0, instead of an environment made for it.
    """
    require_positive(seeds, "--seeds")
    followed: list[tuple[Recording, Followed]] = []
    wrong = 0
    for recording in _recorded(list(WORKLOADS), range(seeds), python):
        held = _hold(recording)
        if held.is_wrong:
            wrong += 1
            tell(f"{recording.workload}, seed {recording.seed}: {held.outcome}")
        followed.append((recording, held.followed))
    traces = Path(vllm.__file__ or "").parent / "traces"
    known = [(deviation, read_trace(traces / f"{deviation.id}.json")) for deviation in CATALOGUE]
    told = deviations.lines(ReferenceSession, known, seen_in(followed).keys())
    out.write_text(written_page(followed, f"kvref scheduler page --seeds {seeds}", told), encoding="utf-8")
    tell(f"{out}: {len(followed)} recordings, {wrong} with a call that is wrong")
    return DIVERGED if wrong else 0


def _recorded(workloads: list[Workload], seeds: range, python: Path | None) -> Iterator[Recording]:
    with SchedulerProcess(python, tell) as process, console.status("recording") as status:
        for number, workload in enumerate(workloads, 1):
            status.update(f"{workload.name}, {number} of {len(workloads)} workloads")
            for seed in seeds:
                yield process.record(workload, seed)
            if len(seeds) > 1:
                tell(f"{workload.name}: {len(seeds)} recordings")


class _Held(NamedTuple):
    """What is said of a recording. `known` is a catalogued deviation of its manager's."""

    followed: Followed
    outcome: str
    is_wrong: bool = False
    known: str | None = None


def _hold(recording: Recording) -> _Held:
    """Hold a recording's calls against the protocol, and its answers against the reference's."""
    followed = follow_recording(recording)
    found = unexplained(recording, followed)
    if found is not None:
        return _Held(followed, found, is_wrong=True)
    unlike = first_unlike(ReferenceSession, recording)
    if unlike is not None:
        known = known_at(ReferenceSession, CATALOGUE, recording, unlike)
        if known is not None:
            return _Held(followed, f"known deviation {known.id}: {known.title}", known=known.id)
        what = (
            f"operation {unlike.at}, {unlike.operation}: vLLM gave {unlike.live}, the reference {unlike.due}"
        )
        return _Held(followed, what, is_wrong=True)
    finding = named(recording.workload).finding
    if finding is not None and (followed.breach is not None or recording.ended is not None):
        return _Held(followed, f"shows {finding.id}")
    return _Held(followed, "legal, answered as the reference does")
