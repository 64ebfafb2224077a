"""Plays smaller forms of a trace on the reference: what a scheduler does next follows from its answers."""

from typing import Final, final

import msgspec

from kvref.errors import ConfigurationError
from kvref.fuzz.legal import MANNERS, Legal, Manners, is_asynchronous
from kvref.operations import Allocate, CacheBlocks, Evict, Operation, Trace
from kvref.protocol import Phase
from kvref.targets.base import CaseResult, digest
from kvref.targets.capabilities import Capabilities
from kvref.targets.picture import Opener


@final
class Mending:
    """Performs what is legal of a trace, mended where that is enough.

    A careful scheduler's trace stays one. A caller's mistake at the end of `trace` stays one at the end of
    its smaller forms.
    """

    def __init__(self, opener: Opener, trace: Trace, capabilities: Capabilities | None = None) -> None:
        self._opener: Final = opener
        self._capabilities: Final = capabilities
        self._mistake: Final = _mistake_of(opener, trace)
        self._manners: Manners = "careful"
        for manners in MANNERS:
            self._manners = manners
            if self.perform(trace)[0].operations == trace.operations:
                break

    def of(self, trace: Trace) -> "Mending":
        """The same for the smaller forms of another trace."""
        return Mending(self._opener, trace, self._capabilities)

    def perform(self, trace: Trace) -> tuple[Trace, CaseResult]:
        """The trace as it was performed on the reference, and what that showed."""
        try:
            session = self._opener(trace.configuration)
        except ConfigurationError as refusal:
            return msgspec.structs.replace(trace, operations=()), CaseResult(refused=str(refusal))
        asynchronous = is_asynchronous(trace.operations)
        legal = Legal(trace.configuration, asynchronous=asynchronous, manners=self._manners)
        performed: list[Operation] = []
        digests: list[bytes] = []
        for line, wanted in enumerate(trace.operations, 1):
            is_mistake = line == len(trace.operations) and type(wanted) is self._mistake
            operation = legal.fit(wanted) if not is_mistake else _mistake(wanted, legal)
            if operation is None or self._lacks(operation):
                continue
            observation = session.apply(operation)
            if is_mistake and observation.error is None:
                break
            performed.append(operation)
            digests.append(digest(observation, session.view()))
            if observation.error is not None:
                break
            legal.record(operation, observation)
        return msgspec.structs.replace(trace, operations=tuple(performed)), CaseResult(tuple(digests))

    def _lacks(self, operation: Operation) -> bool:
        return self._capabilities is not None and self._capabilities.lacks(operation) is not None


def _mistake_of(opener: Opener, trace: Trace) -> type[Operation] | None:
    """The kind of the trace's last operation, if the reference refuses it as a caller's mistake."""
    try:
        session = opener(trace.configuration)
    except ConfigurationError:
        return None
    errors = [session.apply(operation).error for operation in trace.operations]
    return type(trace.operations[-1]) if errors and errors[-1] is not None else None


def _mistake(wanted: Operation, legal: Legal) -> Operation | None:
    """The mistake as it can be made now; None if it cannot."""
    if isinstance(wanted, Evict):
        return wanted
    book = legal.book(wanted)
    if book is None or book.phase is not Phase.RUNNING or book.scheduled_now:
        return None
    if isinstance(wanted, Allocate):
        return Allocate(wanted.request, book.computed, wanted.new)
    return wanted if isinstance(wanted, CacheBlocks) else None
