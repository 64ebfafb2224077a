"""Workers on a cluster: actors of Ray, each with a target of its own. The cluster's nodes have kvref."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from kvref.errors import UserError
from kvref.fuzz.interrupts import deferred
from kvref.fuzz.processes import Answer, Lost, answer
from kvref.fuzz.settings import Shard
from kvref.fuzz.tally import decode, encode
from kvref.fuzz.workers import Done, OpenRunner, Runner

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

LOCAL = "local"
ANSWER_SECONDS = 10.0


class Actor:
    """A worker's life on a node: its target is opened for the first shard."""

    def __init__(self, open_runner: OpenRunner) -> None:
        self._open_runner = open_runner
        self._opened = ExitStack()
        self._runner: Runner | None = None

    def run(self, raw: bytes) -> bytes:
        """Run a shard; what is sent, and what is returned, is encoded."""
        try:
            if self._runner is None:
                self._runner = self._opened.enter_context(self._open_runner())
        except UserError as failure:
            return encode(Lost(str(failure)))
        return encode(answer(self._runner, decode(raw, Shard)))

    def close(self) -> None:
        """Let go of the target."""
        self._opened.close()


class Cluster:
    """So many actors, as many as the cluster has processors if none are named."""

    def __init__(self, address: str, count: int | None, open_runner: OpenRunner) -> None:
        self._ray = _connected(address, count)
        self._count = count or int(self._ray.cluster_resources().get("CPU", 1))
        self._actor = self._ray.remote(Actor)
        self._open_runner = open_runner
        self._idle: list[ActorHandle[Actor]] = []
        self._busy: dict[ObjectRef[bytes], tuple[ActorHandle[Actor], Shard]] = {}

    @property
    def busy(self) -> bool:
        """Whether there is something to wait for."""
        return bool(self._busy)

    @property
    def full(self) -> bool:
        """Every actor has its shard."""
        return len(self._busy) >= self._count

    def submit(self, shard: Shard) -> None:
        """Give the shard to an idle actor, or to a new one."""
        with deferred():
            actor = self._idle.pop() if self._idle else self._actor.remote(self._open_runner)
            self._busy[actor.run.remote(encode(shard))] = actor, shard

    def wait(self) -> list[Done]:
        """Wait for shards that are done, at least one. Raises UserError if the cluster is gone."""
        try:
            ready, _ = self._ray.wait(list(self._busy))
        except self._ray.exceptions.RayError as gone:
            raise UserError(f"the Ray cluster is gone ({_line(gone)}): run again when it is back") from gone
        with deferred():
            return [self._receive(one) for one in ready]

    def close(self) -> None:
        """End all actors, those at work too, and leave the cluster."""
        with deferred():
            for actor in self._idle:
                actor.close.remote()
            for actor, _ in self._busy.values():
                self._ray.kill(actor)
            self._idle.clear()
            self._busy.clear()
            self._ray.shutdown()

    def _receive(self, one: "ObjectRef[bytes]") -> Done:
        actor, shard = self._busy.pop(one)
        try:
            reply: Answer = decode(self._ray.get(one), Answer)  # type: ignore[arg-type]
        except self._ray.exceptions.RayError as died:
            return Done(shard, lost=f"its actor ended ({_line(died)})")
        if isinstance(reply, Lost):
            self._ray.kill(actor)
            return Done(shard, lost=reply.why)
        self._idle.append(actor)
        return Done(shard, reply.report)


def _connected(address: str, count: int | None) -> Any:
    """The module `ray`, which has joined a cluster. Raises UserError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415 - optional, and slow
    except ModuleNotFoundError as absent:
        raise UserError("--ray needs Ray: pip install 'kvref[ray]'") from absent
    _require_answer(address)
    join: Callable[..., object] = ray.init
    try:
        if address == LOCAL:
            join(num_cpus=count, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        else:
            join(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, ValueError) as failure:
        raise UserError(
            f"no Ray cluster answers at {address} ({_line(failure)}): see to --ray, or use --ray local"
        ) from failure
    return ray


def _require_answer(address: str) -> None:
    """Ray itself waits for minutes. Raises UserError if nobody listens at `host:port`."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as failure:
        raise UserError(
            f"no Ray cluster answers at {address} ({failure.strerror}): see to --ray"
        ) from failure


def _line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
