"""`kvref replay` of a recording: performed piece by piece, however long it is."""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from kvref.cli.common import DIVERGED, console, tell
from kvref.cli.tested import Tested
from kvref.errors import ConfigurationError, UserError
from kvref.fuzz.report import SECONDS_A_LINE, difference_table
from kvref.fuzz.safe import require_live
from kvref.operations import Configuration
from kvref.record.reader import Recording, require_tokens
from kvref.record.replay import AsRecorded, OnTarget, Replay, Replayed, Side
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
    opened = tested.open("exact")
    try:
        return _replay(recording, require_live(opened), until, every)
    finally:
        opened.close()


def _replay(recording: Recording, target: LiveTarget | None, until: int | None, every: int) -> int:
    header = recording.header
    name = RECORDED if target is None else target.name

    def side() -> Side:
        if target is None:
            return AsRecorded(header.configuration, blocks=header.blocks)
        return OnTarget(header.configuration, _opened(target, header.configuration))

    def recorded() -> Iterator[Told]:
        return islice(recording.told(), None if until is None else until + 1)

    catalogue = () if target is None else target.catalogue
    replay = Replay(header.configuration, recorded, ReferenceSession, side, catalogue, every)
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
