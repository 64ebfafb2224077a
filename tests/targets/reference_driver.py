"""kvref's own reference behind the driver protocol: what the protocol can carry, shown with a manager that is right.

`python -m tests.targets.reference_driver LEVEL [FAULT]`, a fault of `tests.fuzz.faults`.
"""

import sys
from importlib import import_module
from typing import Any, get_args

import msgspec

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.events import AllBlocksCleared, BlockRemoved, BlockStored, KVCacheEvent
from kvref.operations import Observation
from kvref.targets.picture import Opener
from kvref.targets.process_messages import (
    LEVELS,
    PROTOCOL,
    Answer,
    Applied,
    Apply,
    Argument,
    Call,
    Cleared,
    Close,
    Event,
    Feature,
    Hello,
    Introduction,
    Kind,
    Level,
    Look,
    Offer,
    Open,
    Opened,
    Optional,
    Question,
    Refused,
    Removed,
    Seen,
    Shown,
    Snapshot,
    Stored,
)
from kvref.targets.reference import ReferenceSession

EVERYTHING = Offer(
    groups=get_args(Kind),
    mamba_modes=("none", "all", "align"),
    operations=get_args(Optional),
    arguments=get_args(Argument),
    requests=get_args(Feature),
    several_groups=True,
    block_sizes=True,
    caching_off=True,
    eagle=True,
    decode_context_parallel=True,
    prefill_context_parallel=True,
    retention=True,
    mistakes=True,
)


class Driver:
    """Answers questions. Blocks are named by the hashes that were handed out, and by nothing else."""

    def __init__(self, level: Level, opener: Opener = ReferenceSession) -> None:
        self.level = level
        self.opener = opener
        self.session: Any = None
        self.names: dict[int, str] = {}

    def answer(self, question: Question) -> Answer | None:
        match question:
            case Hello(id=number):
                return Introduction(number, PROTOCOL, "reference driver", self.level, EVERYTHING)
            case Open(id=number, configuration=configuration):
                try:
                    self.session = self.opener(configuration)
                except ConfigurationError as refusal:
                    return Refused(number, str(refusal))
                return Opened(number)
            case Apply(id=number, calls=calls, snapshots=snapshots):
                return self.applied(number, calls, snapshots=snapshots)
            case Look(id=number):
                return Shown(number, snapshot_of(self.session.view()))
            case Close():
                return None

    def applied(self, number: int, calls: tuple[Call, ...], *, snapshots: bool) -> Applied:
        seen, shown = [], []
        for call in calls:
            self.names |= {int(name[-16:], 16): name for name in call.hashes}
            observation = self.session.apply(call.operation)
            seen.append(self.seen(observation))
            if snapshots:
                shown.append(snapshot_of(self.session.view()))
            if observation.error is not None:
                break
        return Applied(number, tuple(seen), tuple(shown))

    def seen(self, observation: Observation) -> Seen:
        told = {name: getattr(observation, name) for name in Observation.__struct_fields__}
        return Seen(**told | {"events": tuple(self.event(event) for event in observation.events)})

    def event(self, event: KVCacheEvent) -> Event:
        match event:
            case BlockStored():
                told = {name: getattr(event, name) for name in BlockStored.__struct_fields__}
                told["block_hashes"] = tuple(self.names[one] for one in event.block_hashes)
                parent = event.parent_block_hash
                told["parent_block_hash"] = None if parent is None else self.names[parent]
                return Stored(**told)
            case BlockRemoved(block_hashes=hashes, medium=medium, group_idx=group):
                return Removed(tuple(self.names[one] for one in hashes), medium, group or 0)
            case AllBlocksCleared():
                return Cleared()


def snapshot_of(view: View) -> Snapshot:
    return Snapshot(
        ref_counts=view.ref_counts,
        keys=[key and key.hex() for key in view.keys],  # type: ignore[misc] # no key is empty
        free_queue=view.free_queue,
        prefix_map=[(key.hex(), blocks) for key, blocks in view.prefix_map],
        tables=view.tables,
        handled=view.handled,
        usage=view.usage,
        stats=view.stats,
        reserved=view.reserved,
        step_keys=[key.hex() for key in view.step_keys],
    )


def serve(driver: Driver) -> None:
    decoder = msgspec.json.Decoder(Question)
    for line in sys.stdin.buffer:
        answer = driver.answer(decoder.decode(line))
        if answer is None:
            return
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    level, fault = sys.argv[1], sys.argv[2:]
    opener = getattr(import_module("tests.fuzz.faults"), fault[0]) if fault else ReferenceSession
    serve(Driver(LEVELS[LEVELS.index(level)], opener))
