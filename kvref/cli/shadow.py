"""`kvref shadow`: a command whose vLLM engines are held against the reference while they run."""

import time
from pathlib import Path
from typing import Final

import msgspec

from kvref.cli.common import DIVERGED, console, require_positive, tell
from kvref.cli.running import Word, run
from kvref.errors import UserError
from kvref.fuzz.report import difference_table
from kvref.known_file import read_known
from kvref.record.entries import Spent
from kvref.record.settings import OnDifference, Settings, ShadowSettings, shadows_at
from kvref.record.shadow import SUMMARY, Level, Report, Summary

AFTERWARDS_SECONDS: Final = 60.0
"""How long a shadow may take to read what is left once the command has ended."""

SECONDS: Final = 0.2
SHOWN: Final = 3
"""So many reports are told."""


def shadow(
    *command: Word,
    out: Path = Path("shadow"),
    level: Level = "exact",
    every: int = 100,
    on_difference: OnDifference = "continue",
    record: Path | None = None,
    known: list[Path] | None = None,
) -> int:
    """Run a command, and hold its vLLM engines' KV cache managers against the reference meanwhile.

    The reference follows in a process of its own. It changes nothing of what the engine sees; if it cannot
    keep up, or fails, following ends and the command goes on.

    Parameters
    ----------
    command
        The command, behind `--`: for example `-- vllm serve MODEL`.
    out
        The folder of the reports: what differed, the operations before it, and both states.
    level
        `exact`: all that calls return, and the state; `hits`: hit lengths, admissions and refusals;
        `safe`: data is kept behind the engine's block ids, and every read must find its own; `invariants`:
        what must hold of the state of any manager.
    every
        The state is compared at the beginning of every so many steps, what calls return always.
    on_difference
        `continue`: the reference takes over the engine's state, and goes on; `stop`: the command is ended.
    record
        Record the engine, too, to this file: then a difference can be replayed.
    known
        A Python file with a catalogue of intended differences, see docs/known.md; may be given again. What it
        or the catalogue of the engine's release recognises is counted, and does not stop anything.
    """
    require_positive(every, "--every")
    read_known(known or ())
    settings = ShadowSettings(out.absolute(), level, every, on_difference, tuple(known or ()))
    variables = settings.variables()
    if record is not None:
        variables |= Settings(record.absolute()).variables()
    before = set(shadows_at(out))

    def has_differed() -> bool:
        return on_difference == "stop" and any(_summary(one).differences for one in _made(out, before))

    code = run(command, variables, has_differed)
    made = _made(out, before)
    if not made:
        raise UserError("nothing was followed: the command has started no vLLM engine, or its log says why")
    differences = [_tell(folder) for folder in made]
    if record is not None:
        tell(f"recorded   {record}: kvref replay {record}")
    return DIVERGED if any(differences) else code


def _made(out: Path, before: set[Path]) -> list[Path]:
    return [folder for folder in shadows_at(out) if folder not in before]


def _tell(folder: Path) -> int:
    """Tell what came of one engine, once its shadow has read what is left; how many differences there were."""
    deadline = time.monotonic() + AFTERWARDS_SECONDS
    while (summary := _summary(folder)).following and time.monotonic() < deadline:
        time.sleep(SECONDS)
    cost = f"{summary.cpu_seconds:.1f} s of a processor beside the engine"
    slots = f", {summary.checked} slots" if summary.checked else ""
    tell(f"followed   {summary.operations} operations, {summary.states} states{slots}, {cost}: {folder}")
    if summary.cost is not None:
        tell(f"cost       {cost_in_words(summary.cost)}")
    for name, count in sorted(summary.known.items()):
        tell(f"known      deviation {name}, {count} times: the reference took over the state behind it")
    if summary.following:
        tell(f"behind     what was left after {AFTERWARDS_SECONDS:g} s is not known")
    elif summary.ended is not None:
        tell(f"ended      {summary.ended}")
    for report in sorted(folder.glob("difference-*.json"))[:SHOWN]:
        found = msgspec.json.decode(report.read_bytes(), type=Report)
        tell(f"difference {report}: operation {found.number}: {found.operation}")
        console.print(difference_table(found.differences, "engine"))
    if summary.differences:
        tell(
            f"differed   {summary.differences} times; the reference took over {summary.resumed} times, "
            f"and {summary.unfollowed} operations went by meanwhile"
        )
    return summary.differences


def cost_in_words(cost: Spent) -> str:
    """What recording has cost the engine's thread."""
    each = cost.nanoseconds / cost.timed if cost.timed else 0.0
    spent = cost.notes * each + cost.state_nanoseconds
    states = (
        f", {cost.states} states of {cost.state_nanoseconds / cost.states / 1e6:.1f} ms"
        if cost.states
        else ""
    )
    notes = f"{cost.notes} calls of {each / 1000:.2f} µs (as {cost.timed} of them were timed){states}"
    return f"{spent / cost.elapsed:.2%} of the engine's thread: {notes}, in {cost.elapsed / 1e9:.1f} s"


def _summary(folder: Path) -> Summary:
    try:
        return msgspec.json.decode((folder / SUMMARY).read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError) as broken:
        raise UserError(f"{folder / SUMMARY} cannot be read: {broken}") from broken
