"""Puts a recorder on every vLLM manager that is built, and on the scheduler's part that tells of steps.

Classes are changed while the process runs, and as they were afterwards; no file of vLLM is.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import msgspec
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.core.sched.scheduler import Scheduler

from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.record.entries import Content, Entry
from kvref.record.notes import Notes
from kvref.record.told import Names, told
from kvref.targets.vllm.described import configuration_of
from kvref.targets.vllm.recorder import Recorder, recorders_of

Opening = Callable[[Any, Configuration], object]
"""Given a manager that was built, and from what: it may put recorders on it."""

logger = logging.getLogger("vllm.kvref")


def attach(opening: Opening) -> Callable[[], None]:
    """Have every manager that is built from now on recorded. What is returned undoes it."""
    build, update, continue_session = (
        KVCacheManager.__init__,
        Scheduler.update_from_output,
        Scheduler._update_request_as_session,  # noqa: SLF001 - where a session's tokens change
    )
    parameters = signature(build)

    def built(self: Any, *arguments: Any, **named: Any) -> None:
        build(self, *arguments, **named)
        try:
            bound = parameters.bind(self, *arguments, **named)
            bound.apply_defaults()
            opening(self, configuration_of(bound.arguments))
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            logger.warning("kvref: nothing is recorded, the engine goes on: %s", defect)

    def updated(self: Any, scheduler_output: Any, *rest: Any, **named: Any) -> Any:
        recorders = recorders_of(self.kv_cache_manager)
        for recorder in recorders:
            recorder.step_has_run()
        outputs = update(self, scheduler_output, *rest, **named)
        for recorder in recorders:
            recorder.sampled(self.requests, scheduler_output.num_scheduled_tokens)
        return outputs

    def continued(self: Any, session: Any, *rest: Any, **named: Any) -> None:
        recorders = recorders_of(self.kv_cache_manager)
        for recorder in recorders:
            recorder.continues(session)
        try:
            continue_session(self, session, *rest, **named)
        finally:
            for recorder in recorders:
                recorder.continued(session)

    KVCacheManager.__init__ = built
    Scheduler.update_from_output = updated
    Scheduler._update_request_as_session = continued  # noqa: SLF001 - as above

    def detach() -> None:
        KVCacheManager.__init__ = build
        Scheduler.update_from_output = update
        Scheduler._update_request_as_session = continue_session  # noqa: SLF001 - as above

    return detach


class Tape:
    """A recording in memory."""

    def __init__(self, manager: Any, configuration: Configuration, tokens: Content) -> None:
        self.configuration = configuration
        self._entries: list[Any] = []
        self._notes = Notes()
        self.recorder = Recorder(manager, configuration, self._notes, tokens=tokens)

    def entries(self) -> list[Entry]:
        """What was noted so far."""
        while self._notes:
            self._entries += self._notes.take(len(self._notes))
        return msgspec.msgpack.decode(msgspec.msgpack.encode(self._entries), type=list[Entry])

    def pairs(self) -> list[tuple[Operation, Observation]]:
        """Every operation, and what the manager returned."""
        return [(one.operation, one.observation) for one in told(self.entries(), Names(kept=True))]

    def trace(self) -> Trace:
        """The operations, to be replayed on any manager."""
        return Trace(self.configuration, tuple(operation for operation, _ in self.pairs()))


@contextmanager
def taped(tokens: Content = "keep") -> Iterator[list[Tape]]:
    """Record every manager that is built meanwhile, in memory. The list grows with each."""
    tapes: list[Tape] = []

    def opening(manager: Any, configuration: Configuration) -> Recorder:
        tapes.append(Tape(manager, configuration, tokens))
        return tapes[-1].recorder

    detach = attach(opening)
    try:
        yield tapes
    finally:
        detach()
