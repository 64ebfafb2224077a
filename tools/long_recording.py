"""Makes a long recording of a short one: the same requests again and again, each time with an empty cache.

python tools/long_recording.py SHORT LONG OPERATIONS
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from kvref.record import entries as e
from kvref.record.file import File
from kvref.record.reader import Recording
from kvref.record.writer import BATCH


def repeated(short: Sequence[e.Entry], count: int) -> Iterator[e.Entry]:
    """So many entries."""
    numbers = 1 + max(one.number for one in short if isinstance(one, e.Arrive))
    made = 0
    for turn in range(count):
        live: set[int] = set()
        for one in short:
            moved = _moved(one, turn * numbers)
            if isinstance(moved, e.Arrive):
                live.add(moved.number)
            elif isinstance(moved, e.Release) and moved.gone:
                live.discard(moved.number)
            yield moved
            made += 1
            if made == count:
                return
        for number in sorted(live):
            yield e.Release(number, gone=True)
        yield e.WasReset(done=True)


def _moved(one: e.Entry, by: int) -> e.Entry:
    """The entry for a request that comes later."""
    if isinstance(one, e.Arrive):
        return msgspec.structs.replace(one, number=one.number + by, name=f"{one.name}-{by}")
    if isinstance(one, e.Sampled):
        return msgspec.structs.replace(one, numbers=tuple(number + by for number in one.numbers))
    number = getattr(one, "number", None)
    return one if number is None else msgspec.structs.replace(one, number=number + by)


def main() -> None:
    """Make the file."""
    short, path, count = sys.argv[1:]
    recording = Recording(Path(short))
    kept = [one for one in recording.entries() if not isinstance(one, e.Snapshot)]
    file = File(Path(path), msgspec.structs.replace(recording.header, blocks=False))
    frame: list[e.Entry] = []
    for one in repeated(kept, int(count)):
        frame.append(one)
        if len(frame) == BATCH:
            file.write(msgspec.msgpack.encode(frame))
            frame.clear()
    file.write(msgspec.msgpack.encode(frame))
    file.close()


if __name__ == "__main__":
    main()
