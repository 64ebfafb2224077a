"""Nothing leaks, what was admitted can finish, and no refusal lasts.

Judged from operations and what they return alone, like the data [ADMIT-1, RESET-1, PROTO-7].
"""

from typing import Final, final

import msgspec

from kvref.compare import Difference
from kvref.errors import ConfigurationError
from kvref.operations import (
    Allocate,
    CacheBlocks,
    Configuration,
    Lookup,
    MambaGroup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    Reset,
    SinkGroup,
    StepEnds,
)
from kvref.protocol import Phase, Scheduler
from kvref.targets.picture import Opener


class _Life(msgspec.Struct, frozen=True):
    """One life of a request: tokens that the admission gate let in, and those of its encoder."""

    granted: int
    encoder: int
    drafts: bool = False
    """Whether it ever asked for slots for drafts."""


class _Refused(msgspec.Struct, frozen=True):
    """What was refused, as an empty manager would be asked for it; the request has so many tokens."""

    operation: Allocate
    tokens: int


@final
class Liveness:
    """Follows one manager; `opener` builds another like it, to see what an empty one would grant.

    The semantics' own admission gate leaves out the old running state of an aligned recurrent group, which
    a prefill in several steps needs beside the new one [Q-68]: that is not told `as_specified`.
    """

    def __init__(self, configuration: Configuration, opener: Opener, *, as_specified: bool = False) -> None:
        self._gate_is_short: Final = as_specified and any(
            isinstance(group, MambaGroup) and group.mode == "align" for group in configuration.groups
        )
        self._configuration: Final = configuration
        self._opener: Final = opener
        self._scheduler: Final = Scheduler(configuration.max_model_len)
        self._loaded_now = False
        """Whether something that a connector brought was cached since the step began."""
        self._lives: Final[dict[str, _Life]] = {}
        self._refused: Final[dict[_Refused, str]] = {}
        """What was refused though nobody else held a block, and how that is told."""

    def sees(self, operation: Operation, observation: Observation) -> list[Difference]:
        """What is wrong with what a legal operation returned."""
        wrong = None
        match operation:
            case NewStep():
                self._loaded_now = False
            case CacheBlocks():
                self._loaded_now = True
            case Reset() if observation.done is False and not self._holders() and not self._has_sink():
                wrong = Difference("reset, while no request holds a block", "done", "refused")
            case Lookup(request=name):
                wrong = self._hit(name, observation.tokens or 0)
            case Allocate() if observation.blocks is not None:
                self._grant(operation)
            case Allocate():
                wrong = self._refusal(operation)
            case _:
                pass
        self._scheduler.record(operation, observation)
        return [] if wrong is None else [wrong]

    @property
    def may_end_step(self) -> bool:
        """Whether a step is in flight, and no outputs of another are due."""
        return self._scheduler.violation(StepEnds()) is None

    def _hit(self, name: str, length: int) -> Difference | None:
        """A hit leaves a token to compute [HIT-8]."""
        most = max(0, self._scheduler.books[name].tokens - 1)
        if 0 <= length <= most:
            return None
        bound = "at least 0" if length < 0 else f"at most {most}"
        return Difference(f"hit length of {name}", bound, str(length))

    def _holders(self) -> list[str]:
        return [name for name, book in self._scheduler.books.items() if book.phase is not Phase.WAITING]

    def _has_sink(self) -> bool:
        return any(isinstance(group, SinkGroup) for group in self._configuration.groups)

    def _grant(self, operation: Allocate) -> None:
        name = operation.request
        book = self._scheduler.books[name]
        if book.phase is Phase.WAITING:
            is_whole = operation.must_fit and not self._gate_is_short
            self._lives[name] = _Life(book.tokens if is_whole else 0, operation.encoder)
        if operation.lookahead:
            # The gate counts no lookahead: slots for drafts can take what the prompt needs [ADMIT-1].
            self._lives[name] = msgspec.structs.replace(self._lives[name], drafts=True)

    def _refusal(self, operation: Allocate) -> Difference | None:
        name = operation.request
        book = self._scheduler.books[name]
        if operation.reserved or [holder for holder in self._holders() if holder != name]:
            return None
        end = operation.computed + (operation.hit or 0) + operation.external + operation.new
        if book.phase is Phase.WAITING:
            if not self._loaded_now:
                # A state that came to be in this step may not be hit in it [MAMBA-3].
                whole = msgspec.structs.replace(operation, new=end, hit=0, external=0, delay=False)
                self._refused[_Refused(whole, book.tokens)] = f"admission of {name}, alone"
            return None
        life = self._lives[name]
        if life.drafts or operation.lookahead:
            return None
        if end <= life.granted:
            return Difference(f"token {end - 1} of {name}, admitted whole, alone", "slots", "refused")
        whole = Allocate(name, 0, end, hit=0, encoder=life.encoder)
        self._refused[_Refused(whole, max(book.tokens, end))] = f"token {end - 1} of {name}, alone"
        return None

    def ends(self) -> list[Difference]:
        """What is wrong when nothing more follows: what was refused, an empty manager must refuse, too."""
        wrong = [told for refused, told in self._refused.items() if self._is_granted_anew(refused)]
        return [Difference(told, "as in a new pool", "refused") for told in wrong[:1]]

    def _is_granted_anew(self, refused: _Refused) -> bool:
        """Whether an empty manager grants at once what was refused behind what was computed or hit.

        A table that goes on from an aligned state has that one, too, and those of drafts, which a first step
        has not: so many blocks less are in the empty pool [MAMBA-6, Q-68].
        """
        aligned = [g for g in self._configuration.groups if isinstance(g, MambaGroup) and g.mode == "align"]
        count = self._configuration.num_blocks - sum(2 + group.speculative_blocks for group in aligned)
        if count < 1:
            return False
        try:
            session = self._opener(msgspec.structs.replace(self._configuration, num_blocks=count))
        except ConfigurationError:
            return False
        # Which tokens they are does not matter where nothing is cached.
        name = refused.operation.request
        for before in (NewRequest(name, (0,) * refused.tokens), NewStep()):
            session.apply(before)
        # A chunk of one token hits what no step reads even there, and is then asked for less.
        if session.apply(Lookup(name)).tokens:
            return False
        return session.apply(refused.operation).blocks is not None
