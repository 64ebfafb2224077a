"""`kvref replay`: one trace, on a target."""

from pathlib import Path
from typing import Literal

import msgspec

from kvref.cli.common import DIVERGED, console, needing_torch, opened_target
from kvref.errors import UserError
from kvref.fuzz.report import difference_table, tell_finding
from kvref.operations import Trace
from kvref.replay import read_trace
from kvref.replay import replay as replay_trace
from kvref.targets.base import Target
from kvref.targets.reference import ReferenceSession


def replay(
    trace: Path,
    *,
    target: str = "vllm==0.23.0",
    level: Literal["exact", "safe"] = "exact",
    python: Path | None = None,
    until: int | None = None,
) -> int:
    """Replay a trace on a target, against the reference.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it.
    target
        What to replay it on: see `kvref targets`.
    level
        `exact` compares everything with the reference after every operation; `safe` keeps
        data behind the target's block ids, and tells what is read wrong, lost or never ends.
    python
        An interpreter that has the target, instead of an environment made for it.
    until
        The last operation to perform, by its line: 0 is the first.
    """
    loaded = read_trace(trace)
    if until is not None:
        if not 0 <= until < len(loaded.operations):
            raise UserError(f"--until {until}: {trace} has operations 0 to {len(loaded.operations) - 1}")
        loaded = msgspec.structs.replace(loaded, operations=loaded.operations[: until + 1])
    opened = opened_target(target, python)
    try:
        if level == "safe":
            return _tell_safe(trace, opened, loaded)
        judgement = replay_trace(ReferenceSession, opened, loaded)
    finally:
        opened.close()
    total = len(loaded.operations)
    console.print(f"{trace}: {judgement.agreed} of {total} operations agree", highlight=False)
    known, finding = judgement.known, judgement.finding
    if known is not None:
        console.print(f"known deviation {known.id} ({known.verdict.value}): {known.title}", highlight=False)
        if finding is not None:
            console.print(difference_table(finding.differences, opened.name))
        return DIVERGED
    if finding is not None:
        tell_finding(console, finding, opened.name, None)
        return DIVERGED
    return 0


def _tell_safe(path: Path, target: Target, trace: Trace) -> int:
    with needing_torch("level safe"):
        from kvref.replay_safe import replay_safe  # noqa: PLC0415
    wrong, at = replay_safe(trace, target)
    total = len(trace.operations)
    if not wrong:
        console.print(f"{path}: {total} operations performed, nothing is wrong", highlight=False)
        return 0
    where = f"operation {at} of {total}: {trace.operations[at]}" if at is not None else "when nothing follows"
    console.print(f"{path}: wrong at {where}", highlight=False, soft_wrap=True)
    console.print(difference_table(wrong, target.name, "due"))
    return DIVERGED
