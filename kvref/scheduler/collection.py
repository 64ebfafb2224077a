"""Recordings in a folder: a trace each, and a list of what they are and what was answered."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType

import msgspec

from kvref.errors import UserError
from kvref.operations import Observation
from kvref.replay import read_trace
from kvref.scheduler.recording import Recording

LIST = "recordings.json"
DIGEST_BYTES = 16


class Listed(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One recording. `answers` sums up all that the live manager returned, events left out.

    `known` is the catalogued deviation by which that left the reference's answers, if it did.
    """

    file: str
    workload: str
    seed: int
    release: str
    calls: int
    answers: str
    known: str | None = None
    ended: str | None = None


def sum_up(observations: Iterable[Observation]) -> str:
    """A digest of what was returned, events left out."""
    summed = blake2b(digest_size=DIGEST_BYTES)
    for one in observations:
        bare = msgspec.structs.replace(one, events=()) if one.events else one
        summed.update(msgspec.json.encode(bare, order="deterministic") + b"\n")
    return summed.hexdigest()


def write_collection(
    folder: Path, recordings: Sequence[Recording], known: Mapping[int, str] = MappingProxyType({})
) -> None:
    """Write recordings, and their list. `known` are deviations, by the recording's place."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for place, recording in enumerate(recordings):
        file = f"{recording.workload}-{recording.seed}.json"
        (folder / file).write_bytes(msgspec.json.encode(recording.trace) + b"\n")
        listed.append(
            Listed(
                file,
                recording.workload,
                recording.seed,
                recording.release,
                len(recording.trace.operations),
                sum_up(recording.observations),
                known.get(place),
                recording.ended,
            )
        )
    text = msgspec.json.format(msgspec.json.encode(listed), indent=2)
    (folder / LIST).write_bytes(text + b"\n")


def read_list(folder: Path) -> list[Listed]:
    """The list of a folder's recordings. Raises UserError."""
    path = folder / LIST
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Listed])
    except OSError as failure:
        what = f"{path} cannot be read ({failure.strerror})"
        raise UserError(f"{what}: name a folder that kvref scheduler record wrote") from failure
    except msgspec.MsgspecError as broken:
        raise UserError(f"{path} is no list of recordings: {broken}") from broken


def read_collection(folder: Path) -> list[tuple[Listed, Recording]]:
    """The recordings of a folder, without what was answered. Raises UserError."""
    found = []
    for listed in read_list(folder):
        trace = read_trace(folder / listed.file)
        if len(trace.operations) != listed.calls:
            count = f"{len(trace.operations)} calls, not {listed.calls}"
            raise UserError(f"{folder / listed.file} has {count}: record the folder again")
        found.append(
            (listed, Recording(listed.workload, listed.seed, listed.release, trace, (), listed.ended))
        )
    return found
