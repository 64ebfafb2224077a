"""Nothing leaks, what was admitted can finish, and no refusal lasts.

Judged from operations and what they return alone, like the data [ADMIT-1, RESET-1, PROTO-7].
"""

from typing import Final, final

from kvref.compare import Difference
from kvref.errors import ConfigurationError
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    ContinueRequest,
    Lookup,
    MambaGroup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    Reset,
    SinkGroup,
)
from kvref.protocol import Phase, Scheduler
from kvref.targets.picture import Opener


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
        self._prompts: Final[dict[str, NewRequest]] = {}
        """Requests that have no more than their prompt."""
        self._suspect: Allocate | None = None
        """An admission that was refused though nobody else held a block."""
        self._granted: Final[dict[str, int]] = {}
        """By request, how many tokens the admission gate let in for its present life."""

    def sees(self, operation: Operation, observation: Observation) -> list[Difference]:
        """What is wrong with what a legal operation returned."""
        wrong = None
        match operation:
            case NewRequest(request=name):
                self._prompts[name] = operation
            case AppendTokens(request=name) | ContinueRequest(request=name):
                self._prompts.pop(name, None)
                if self._suspect is not None and self._suspect.request == name:
                    self._suspect = None
            case Reset() if observation.done is False and not self._holders() and not self._has_sink():
                wrong = Difference("reset, while no request holds a block", "done", "refused")
            case Lookup(request=name):
                wrong = self._hit(name, observation.tokens or 0)
            case Allocate(request=name):
                wrong = self._allocation(operation, granted=observation.blocks is not None)
            case _:
                pass
        self._scheduler.record(operation, observation)
        return [] if wrong is None else [wrong]

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

    def _allocation(self, operation: Allocate, *, granted: bool) -> Difference | None:
        name = operation.request
        book = self._scheduler.books[name]
        is_admission = book.phase is Phase.WAITING
        if granted:
            if is_admission:
                is_whole = operation.must_fit and not self._gate_is_short
                self._granted[name] = book.tokens if is_whole else 0
            if operation.lookahead:
                # The gate counts no lookahead: slots for drafts can take what the prompt needs [ADMIT-1].
                self._granted[name] = 0
            return None
        alone = not [holder for holder in self._holders() if holder != name]
        if not alone or operation.reserved:
            return None
        if is_admission:
            if not operation.hit and name in self._prompts:
                self._suspect = operation
            return None
        end = operation.computed + operation.new
        fits = end <= self._granted[name] and not operation.lookahead
        return (
            Difference(f"token {end - 1} of {name}, admitted whole, alone", "slots", "refused")
            if fits
            else None
        )

    def ends(self) -> list[Difference]:
        """What is wrong when nothing more follows: what was refused, an empty manager must refuse, too."""
        operation = self._suspect
        if operation is None:
            return []
        try:
            session = self._opener(self._configuration)
        except ConfigurationError:
            return []
        for before in (self._prompts[operation.request], NewStep(), Lookup(operation.request)):
            session.apply(before)
        if session.apply(operation).blocks is None:
            return []
        return [Difference(f"admission of {operation.request}, alone", "as in a new pool", "refused")]
