"""Level `safe`: every read finds the data that it should, and nobody waits for ever.

What a manager must keep whatever ids it chooses, checked on any implementation.
"""

from typing import Final, final

from kvref.compare import Difference
from kvref.dataplane.keys import share_key
from kvref.dataplane.liveness import Liveness
from kvref.dataplane.plane import DataPlane
from kvref.dataplane.worker import Misread
from kvref.errors import WrongAnswerError
from kvref.operations import CommonPrefix, Configuration, Evict, Observation, Operation, Reset, StepEnds
from kvref.targets.picture import Opener, Session


@final
class Safety:
    """Follows one manager from its first operation on.

    `conflated` counts the misreads that follow from the format of keys (HASH-4, Q-10, Q-11), which any
    manager with these keys shares; they are not told as wrong. Nor is, `as_specified`, what the semantics
    themselves leave to be desired (Q-68).
    """

    def __init__(self, configuration: Configuration, opener: Opener, *, as_specified: bool = False) -> None:
        self.conflated = 0
        self._configuration: Final = configuration
        self._plane: Final = DataPlane(configuration)
        self._liveness: Final = Liveness(configuration, opener, as_specified=as_specified)
        self._operations: Final[list[Operation]] = []

    @property
    def checked(self) -> int:
        """Slots of tokens and states whose content was checked so far."""
        return self._plane.checked

    def performs(self, session: Session, operation: Operation) -> tuple[Observation, list[Difference]]:
        """Perform a legal operation: what it returned, and what is wrong with that, no answer included."""
        try:
            observation = session.apply(operation)
        except WrongAnswerError as wrong:
            return Observation(), [Difference(wrong.what, wrong.expected, wrong.actual)]
        return observation, self.sees(operation, observation)

    def sees(self, operation: Operation, observation: Observation) -> list[Difference]:
        """What is wrong with what a legal operation returned, or with what a step that ended has read."""
        self._operations.append(operation)
        if observation.error is not None:
            return [Difference("error", "none: the operation is legal", observation.error)]
        wrong = self._liveness.sees(operation, observation)
        for misread in self._plane.sees(operation, observation):
            if self._is_conflated(misread):
                self.conflated += 1
            else:
                wrong.append(self._plane.difference(misread))
        match operation:
            case CommonPrefix(request=name):
                wrong += self._plane.uncommon(name, observation.numbers or ())
            case Evict(blocks=blocks):
                self._plane.lose(blocks)
            case Reset() if observation.done:
                self._plane.lose(range(1, self._configuration.num_blocks))
            case _:
                pass
        return wrong

    def ends(self) -> list[Difference]:
        """What is wrong when no operation follows: steps run to their end. Another manager may be built for it."""
        while self._liveness.may_end_step and self._plane.knows_tables:
            wrong = self.sees(StepEnds(), Observation())
            if wrong:
                return wrong
        try:
            return self._liveness.ends()
        except WrongAnswerError as wrong:
            return [Difference(wrong.what, wrong.expected, wrong.actual)]

    def _is_conflated(self, misread: Misread) -> bool:
        holders = self._plane.holders(misread.found, misread.position)
        size = self._plane.block_size(misread.group)
        names = [misread.request, *holders]
        return bool(holders) and share_key(
            self._configuration, self._operations, size, misread.position, names
        )
