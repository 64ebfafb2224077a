"""`kvref replay`: one trace, on a target."""

from pathlib import Path

import msgspec

from kvref.cli.common import DIVERGED, agreed_terms, console, needing_torch, require_positive, tell
from kvref.cli.loading import load
from kvref.cli.replay_recording import RECORDED, replay_recorded_safe, replay_recording
from kvref.cli.tested import Tested, as_asked
from kvref.errors import UserError
from kvref.fuzz.report import difference_table, tell_finding
from kvref.fuzz.settings import Level
from kvref.judge import Judgement
from kvref.operations import Trace
from kvref.record.frames import is_recording
from kvref.replay import replay as replay_trace
from kvref.replay_invariants import replay_invariants
from kvref.targets.base import Target
from kvref.targets.reference import ReferenceSession


def replay(
    trace: Path,
    *,
    tested: Tested = Tested(),
    against: str | None = None,
    known: list[Path] | None = None,
    level: Level = "exact",
    until: int | None = None,
    every: int = 1000,
) -> int:
    """Replay a trace or a recording on a target, against the reference.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it, or a recording, as `kvref record` does. With `--target
        recorded`, what the recorded engine itself returned is held against the reference.
    against
        Another target to hold it against, instead of the reference.
    known
        A Python file with a catalogue of intended differences, see docs/known.md; may be given again.
    level
        `exact` compares everything with the reference after every operation; `safe` keeps
        data behind the target's block ids, and tells what is read wrong, lost or never ends; `hits`
        compares hit lengths, admissions and refusals, too; `invariants` asks the target alone, and checks
        its state after every operation.
    until
        The last operation to perform, by its line: 0 is the first.
    every
        Of a recording, states are compared behind every so many operations, and what is returned always.
    """
    require_positive(every, "--every")
    if level == "exact" and against is None and not known and is_recording(trace):
        return replay_recording(trace, tested, until, every)
    if tested.target == RECORDED:
        if level == "safe" and against is None and not known and is_recording(trace):
            return replay_recorded_safe(trace, until)
        raise UserError(
            f"--target {RECORDED} is for recordings, at level exact or safe, against nothing else"
        )
    loaded = load(trace, until)
    if until is not None:
        if not 0 <= until < len(loaded.operations):
            raise UserError(f"--until {until}: {trace} has operations 0 to {len(loaded.operations) - 1}")
        loaded = msgspec.structs.replace(loaded, operations=loaded.operations[: until + 1])
    if level != "exact" and (against is not None or known):
        raise UserError(
            f"--against and --known compare: leave out --level {level}, which looks at one side alone"
        )
    with agreed_terms(against, known or ()) as terms:
        opened = tested.open(level)
        try:
            if level != "exact":
                return _tell_alone(trace, as_asked(opened, level), level, loaded)
            judgement = replay_trace(ReferenceSession, opened, loaded, terms)
        finally:
            opened.close()
    return _tell_exact(trace, loaded, judgement, opened.name, tested.named.options, terms.name)


def _tell_exact(
    trace: Path, loaded: Trace, judgement: Judgement, target: str, options: str, against: str
) -> int:
    total = len(loaded.operations)
    console.print(f"{trace}: {judgement.agreed} of {total} operations agree", highlight=False)
    deviation, finding = judgement.known, judgement.finding
    if deviation is not None:
        console.print(
            f"known deviation {deviation.id} ({deviation.verdict.value}): {deviation.title}", highlight=False
        )
        if finding is not None:
            console.print(difference_table(finding.differences, target, against))
    elif finding is not None:
        tell_finding(console, finding, target, None, against=against)
    else:
        return 0
    if against == "reference":
        tell(f"explain    kvref explain {trace} {options}")
    return DIVERGED


def _tell_alone(path: Path, target: Target, level: Level, trace: Trace) -> int:
    if level == "invariants":
        wrong, at = replay_invariants(trace, target)
    else:
        with needing_torch("data behind block ids"):
            from kvref.replay_safe import replay_safe  # noqa: PLC0415 - needs torch
        wrong, at = replay_safe(trace, target)
    total = len(trace.operations)
    if not wrong:
        console.print(f"{path}: {total} operations performed, nothing is wrong", highlight=False)
        return 0
    where = f"operation {at} of {total}: {trace.operations[at]}" if at is not None else "when nothing follows"
    console.print(f"{path}: wrong at {where}", highlight=False, soft_wrap=True)
    console.print(difference_table(wrong, target.name, "due"))
    return DIVERGED
