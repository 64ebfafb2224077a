"""Level `invariants`: where a manager in this process breaks what must always hold."""

from typing import Final, final

import msgspec

from kvref.compare import Difference
from kvref.errors import ConfigurationError
from kvref.fuzz.legal import MANNERS, Legal, Manners, is_asynchronous
from kvref.fuzz.shows import Shown
from kvref.operations import Operation, Trace
from kvref.targets.picture import Opener
from kvref.witness import Witness


@final
class Invariants:
    """Plays traces on the manager itself, and checks every invariant after every operation."""

    def __init__(self, opener: Opener, trace: Trace) -> None:
        self._opener: Final = opener
        self._manners: Manners = "careful"
        for manners in MANNERS:
            self._manners = manners
            performed = self.play(trace).trace.operations
            if performed == trace.operations[: len(performed)]:
                break

    def play(self, trace: Trace) -> Shown:
        """Play a trace as far as it is legal, up to the first broken invariant."""
        try:
            session = self._opener(trace.configuration)
        except ConfigurationError:
            return Shown(msgspec.structs.replace(trace, operations=()))
        asynchronous = is_asynchronous(trace.operations)
        legal = Legal(trace.configuration, asynchronous=asynchronous, manners=self._manners)
        witness = Witness(trace.configuration)
        performed: list[Operation] = []
        broken: list[Difference] = []
        for wanted in trace.operations:
            operation = legal.fit(wanted)
            if operation is None:
                continue
            try:
                observation = session.apply(operation)
                view = session.view()
            except Exception:  # noqa: BLE001 - a faulty manager may raise anything: it broke before
                break
            performed.append(operation)
            found = witness.sees(operation, observation, view)
            if found:
                broken = [Difference(one.invariant, "holds", one.message) for one in found]
                break
            if observation.error is not None:
                break
            legal.record(operation, observation)
        return Shown(msgspec.structs.replace(trace, operations=tuple(performed)), tuple(broken))

    def is_same(self, first: Shown, other: Shown) -> bool:
        """Whether the same kind of operation breaks the same invariant."""
        return type(first.operation) is type(other.operation) and any(
            one.what == first.differences[0].what for one in other.differences
        )
