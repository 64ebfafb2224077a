"""`kvref replay` of a recording: performed piece by piece, however long it is."""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from kvref.cli.common import DIVERGED, console, needing_torch, tell
from kvref.cli.tested import Tested
from kvref.errors import ConfigurationError, UserError
from kvref.following import CannotFollowError
from kvref.fuzz.report import SECONDS_A_LINE, difference_table
from kvref.fuzz.safe import require_live
from kvref.operations import Configuration
from kvref.record.reader import Recording, require_tokens
from kvref.record.replay import AsRecorded, OnTarget, Replay, Replayed, Side
from kvref.record.restored import FollowingSession
from kvref.record.told import Told
from kvref.targets.base import LiveTarget
from kvref.targets.picture import Session
from kvref.targets.reference import ReferenceSession

RECORDED: Final = "recorded"
"""The target that is the recorded engine itself."""


def replay_recording(path: Path, tested: Tested, until: int | None, every: int) -> int:
    """Perform a recording on a target and the reference, and tell what came of it."""
    recording = Recording(path)
    require_tokens(recording)
    if tested.target == RECORDED and tested.target_cmd is None:
        header = recording.header
        tell(f"{path} was recorded from {header.engine}{'' if header.blocks else ', calls only'}")
        return _replay(recording, None, until, every)
    if recording.beginning() is not None:
        raise UserError(
            f"{path} begins in the middle, and {tested.target} begins empty: --target {RECORDED} holds it against "
            "the reference, which takes over the state"
        )
    opened = tested.open("exact")
    try:
        return _replay(recording, require_live(opened), until, every)
    finally:
        opened.close()


def replay_recorded_safe(path: Path, until: int | None) -> int:
    """Keep data behind the block ids that a recorded engine handed out, and tell what it would have read wrong."""
    recording = Recording(path)
    require_tokens(recording)
    if not recording.header.blocks or recording.beginning() is not None:
        why = "begins in the middle" if recording.header.blocks else "has calls only, and no block ids"
        raise UserError(f"{path} {why}: level safe follows every block from the beginning")
    with needing_torch("data behind block ids"):
        from kvref.followed_safe import FollowedSafe  # noqa: PLC0415 - needs torch
    followed, progress, done = FollowedSafe(recording.header.configuration), Progress(), 0
    for one in islice(recording.told(), None if until is None else until + 1):
        try:
            wrong = followed.sees(one)
        except CannotFollowError as cannot:
            raise UserError(
                f"{path}: nothing is wrong before operation {done}, {one.operation}: {cannot}"
            ) from cannot
        if wrong:
            tell(f"{path}: wrong at operation {done}: {one.operation}")
            console.print(difference_table(tuple(wrong), RECORDED, "due"))
            return DIVERGED
        done += 1
        progress(done)
    if recording.ends_early is not None:
        tell(recording.ends_early)
    tell(f"{path}: {done} operations, {followed.checked} slots were read, nothing is wrong")
    return 0


def _replay(recording: Recording, target: LiveTarget | None, until: int | None, every: int) -> int:
    header = recording.header
    name = RECORDED if target is None else target.name

    def side() -> Side:
        if target is None:
            return AsRecorded(header.configuration, blocks=header.blocks)
        return OnTarget(header.configuration, _opened(target, header.configuration))

    def recorded() -> Iterator[Told]:
        return islice(recording.told(), None if until is None else until + 1)

    beginning = recording.beginning()

    def reference(configuration: Configuration) -> Session:
        if beginning is None:
            return ReferenceSession(configuration)
        session = FollowingSession(configuration)
        session.resume(beginning)
        return session

    if beginning is not None:
        tell(
            f"{recording.path} begins in the middle: the reference takes over the state of {len(beginning.requests)} requests"
        )
    catalogue = () if target is None else target.catalogue
    replay = Replay(header.configuration, recorded, reference, side, catalogue, every)
    began = time.monotonic()
    try:
        found = replay.run(Progress())
    except ConfigurationError as refusal:
        raise UserError(f"{recording.path}: the reference refuses its configuration: {refusal}") from refusal
    return _tell(recording, found, name, time.monotonic() - began)


def _opened(target: LiveTarget, configuration: Configuration) -> Session:
    refused = target.capabilities.refuses(configuration)
    if refused is not None:
        raise UserError(f"{target.name} cannot be asked: {refused}")
    try:
        return target.opener(configuration)
    except ConfigurationError as refusal:
        raise UserError(f"{target.name} refuses the recording's configuration: {refusal}") from refusal


def _tell(recording: Recording, found: Replayed, name: str, seconds: float) -> int:
    if recording.ends_early is not None:
        tell(recording.ends_early)
    rate = f"{found.agreed / seconds:,.0f} a second" if seconds else "at once"
    tell(f"{recording.path}: {found.agreed} operations agree ({rate})")
    if not found.wrong:
        return 0
    if found.known is not None:
        known = found.known
        tell(f"known deviation {known.id} ({known.verdict.value}): {known.title}")
    console.print(difference_table(found.wrong, name))
    tell(f"operation  {found.agreed}: {found.operation}")
    tell(f"explain    kvref explain {recording.path} --to {found.agreed}")
    return DIVERGED


class Progress:
    """Tells how far a replay is: on a terminal in place, elsewhere one line a minute."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def __call__(self, done: int) -> None:
        """So many operations have been performed."""
        now = time.monotonic()
        if now - self._last < (1 if console.is_terminal else SECONDS_A_LINE):
            return
        self._last = now
        line = f"replaying: {done} operations, {done / (now - self._began):,.0f} a second"
        console.print(line, end="\r" if console.is_terminal else "\n", highlight=False)
