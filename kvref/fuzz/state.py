"""A campaign's state in a folder: killed at any moment it goes on, and has lost no finding.

One file holds all that was seen and which shards that was, and is replaced as a whole after every batch.
A shard whose end did not get there runs again, and shows the same again.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from pathlib import Path

import filelock
import msgspec

from kvref.errors import UserError
from kvref.fuzz.settings import Settings, ShardNumber
from kvref.fuzz.tally import Report, decode, encode

NAME = "campaign.state"
MAGIC = b"kvref campaign 1\n"
DIGEST_BYTES = 16
PACKAGES = ("kvref", "spec", "invariants")


class _Kept(msgspec.Struct):
    """The file. The slice's first `below` shards are finished, and those at the places `beyond`."""

    version: str
    report: Report
    below: int = 0
    beyond: set[int] = msgspec.field(default_factory=set)


class State:
    """The ledger of a campaign, kept in a file."""

    def __init__(self, path: Path, kept: _Kept) -> None:
        self._path = path
        self._kept = kept

    @property
    def report(self) -> Report:
        """What was seen so far."""
        return self._kept.report

    def is_finished(self, shard: ShardNumber) -> bool:
        """Whether a shard is part of the report already."""
        place = self._place(shard)
        return place < self._kept.below or place in self._kept.beyond

    def finish(self, shard: ShardNumber) -> None:
        """A shard has become part of the report."""
        kept = self._kept
        kept.beyond.add(self._place(shard))
        while kept.below in kept.beyond:
            kept.beyond.remove(kept.below)
            kept.below += 1

    def keep(self) -> None:
        """Replace the file. Raises UserError, and leaves the file as it was."""
        raw = encode(self._kept)
        try:
            _replace(self._path, MAGIC + _digest(raw) + raw)
        except OSError as failure:
            raise UserError(
                f"{self._path} cannot be written ({failure.strerror}): it holds the campaign up to the batch "
                "before; see to the disk, and run the same again"
            ) from failure

    def _place(self, shard: ShardNumber) -> int:
        return shard // self._kept.report.settings.slice.of


@contextmanager
def state_in(folder: Path, begun: Report) -> Iterator[State]:
    """The state in a folder, of the campaign that `begun` begins and of no other. Raises UserError."""
    path = folder / NAME
    with ExitStack() as locked:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            locked.enter_context(filelock.FileLock(folder / "lock", timeout=0))
            state = State(path, _read(path, begun))
        except filelock.Timeout as taken:
            raise UserError(f"{folder} is in use by another campaign: choose another --state") from taken
        except OSError as failure:
            raise UserError(
                f"{path} cannot be used ({failure.strerror}): choose another --state"
            ) from failure
        state.keep()
        yield state


def _read(path: Path, begun: Report) -> _Kept:
    version = source_version()
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return _Kept(version, begun)
    head, body = len(MAGIC) + DIGEST_BYTES, raw[len(MAGIC) + DIGEST_BYTES :]
    if not raw.startswith(MAGIC) or raw[len(MAGIC) : head] != _digest(body):
        raise UserError(f"{path} is damaged, or no campaign: restore it, or choose another --state")
    other = f"{path} is of another version of kvref: run that, or choose another --state"
    try:
        kept = decode(body, _Kept)
    except msgspec.MsgspecError as foreign:
        raise UserError(other) from foreign
    if kept.version != version:
        raise UserError(other)
    differing = _differing(kept.report, begun)
    if differing:
        raise UserError(f"{path} is of a campaign with {differing}: give the same, or choose another --state")
    kept.report.settings = begun.settings
    kept.report.failure = None
    return kept


def _differing(kept: Report, asked: Report) -> str:
    """In what the campaigns are not one, in words. Each run may have its own `seconds`."""
    pairs = [("target", kept.target, asked.target), ("against", kept.against, asked.against)]
    names = [name for name in Settings.__struct_fields__ if name != "seconds"]
    pairs += [(name, getattr(kept.settings, name), getattr(asked.settings, name)) for name in names]
    told = [f"{name} {before}, not {now}" for name, before, now in pairs if before != now]
    return " and ".join(told)


def _digest(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=DIGEST_BYTES).digest()


def _replace(path: Path, raw: bytes) -> None:
    """After a crash of the machine, too, the file is the old one or the new one."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def source_version() -> str:
    """A digest of this version's source: another one may draw other cases, or judge them otherwise."""
    root = Path(__file__).parents[2]
    sources = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    summed = blake2b(digest_size=DIGEST_BYTES)
    for path in sources:
        summed.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return summed.hexdigest()
