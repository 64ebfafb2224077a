"""A scheduler that performs what it chooses, and notes it: the caller of one case.

It proposes only what `protocol.Scheduler` calls legal, and follows the answers that it gets.
"""

from collections.abc import Callable

from kvref.fuzz.choices import Choices
from kvref.fuzz.habits import Habits
from kvref.fuzz.serving import Serving
from kvref.fuzz.weights import DEFAULT, Weights
from kvref.operations import Configuration, Observation, Operation

Apply = Callable[[Operation], Observation]
Avoids = Callable[[Operation], bool]


class CaseOver(Exception):  # noqa: N818 - not an error
    """The case has as many operations as it should."""


class Caller(Serving):
    """`apply` performs an operation; `avoids` tells operations that this case stays clear of."""

    def __init__(
        self,
        choices: Choices,
        configuration: Configuration,
        habits: Habits,
        apply: Apply,
        avoids: Avoids,
        length: int,
        *,
        careful: bool = False,
        weights: Weights = DEFAULT,
    ) -> None:
        super().__init__(choices, configuration, habits, weights, careful=careful)
        self.length = length
        self.operations: list[Operation] = []
        self.answers: dict[str, int] = {}
        """How many tokens each request is still to be answered with."""
        self.untold: str | None = None
        """An admitted request whose table the worker was not told yet."""
        self._apply = apply
        self._avoids = avoids

    def do(self, operation: Operation) -> Observation:
        """Perform a legal operation, and note it. Raises CaseOver."""
        if len(self.operations) >= self.length:
            raise CaseOver
        violation = self.scheduler.violation(operation)
        assert violation is None, f"{operation}: {violation}"  # noqa: S101 - a defect of the generator
        self.operations.append(operation)
        observation = self._apply(operation)
        self.scheduler.record(operation, observation)
        return observation

    def avoids(self, operation: Operation) -> bool:
        """Whether this case stays clear of the operation."""
        return self._avoids(operation)

    def offer(self, operation: Operation) -> None:
        """Perform an operation that nothing depends on, unless this case stays clear of it."""
        if not self._avoids(operation):
            self.do(operation)
