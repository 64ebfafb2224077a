"""Makes a trace that shows a finding at level `safe` as small as it gets: delta debugging.

A smaller trace is tried by playing it on the target itself. What is no longer legal is mended or left
out on the way, so nearly every attempt is a real case; what was performed is what counts. Attempts
follow from the trace and from what the target answers: the same target gives the same result.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import gcd
from typing import Final, final

import msgspec

from kvref.compare import Difference
from kvref.dataplane.safety import Safety
from kvref.errors import ConfigurationError
from kvref.fuzz import smaller_configurations, smaller_histories
from kvref.fuzz.legal import Legal, is_asynchronous
from kvref.fuzz.safe import SafeTarget
from kvref.fuzz.smaller_histories import Operations
from kvref.operations import GetBlocks, NewRequest, Observation, Operation, Trace

BUDGET = 3000
Progress = Callable[[int, int], None]
"""Told of attempts so far, and of the operations that are left."""

Sort = tuple[str, str]
Smaller = Callable[[Trace], Iterator[Trace]]
"""Smaller traces than one, to be tried in this order."""


@dataclass(frozen=True)
class Shrunk:
    """The smallest trace that was found, what is wrong at its end, and after how many attempts."""

    trace: Trace
    wrong: tuple[Difference, ...]
    attempts: int


def sort_of(difference: Difference, names: Collection[str]) -> Sort:
    """What remains of a difference without the names of requests and without numbers."""

    def bare(text: str) -> str:
        words = re.split(r"(\W+)", text)
        return re.sub(r"\d+", "#", "".join("#" if word in names else word for word in words))

    return bare(difference.what), bare(difference.actual)


@final
class _Following:
    """Plays operations on a target for as long as nothing is wrong."""

    def __init__(self, trace: Trace, target: SafeTarget) -> None:
        """Raises ConfigurationError if the target refuses the configuration."""
        refused = target.capabilities.refuses(trace.configuration)
        if refused is not None:
            raise ConfigurationError(refused)
        self._capabilities: Final = target.capabilities
        self._session: Final = target.opener(trace.configuration)
        self._legal: Final = Legal(trace.configuration, asynchronous=is_asynchronous(trace.operations))
        self._safety: Final = Safety(
            trace.configuration, target.opener, as_specified=target.capabilities.is_sound
        )
        self.performed: Final[list[Operation]] = []
        self.wrong: list[Difference] = []

    def play(self, wanted: Operation) -> None:
        """Play the operation as it may come next; and tell the worker of the table that an admission made."""
        if isinstance(wanted, GetBlocks) and self.performed[-1:] == [wanted]:
            return
        operation = self._legal.fit(wanted)
        if operation is None or self._capabilities.lacks(operation) is not None:
            return
        is_admission = self._legal.is_admission(operation)
        if self._perform(operation).blocks is not None and is_admission and not self.wrong:
            self._perform(GetBlocks(getattr(operation, "request", "")))

    def end(self) -> None:
        """Nothing follows."""
        self.wrong = self.wrong or self._safety.ends()

    def _perform(self, operation: Operation) -> Observation:
        observation = self._session.apply(operation)
        self.performed.append(operation)
        self.wrong += self._safety.sees(operation, observation)
        if not self.wrong:
            self._legal.record(operation, observation)
        return observation


def follow(trace: Trace, target: SafeTarget) -> tuple[Trace, tuple[Difference, ...]]:
    """Play a trace as far as it is legal, up to what is wrong: the trace as it was performed, and that."""
    try:
        following = _Following(trace, target)
    except ConfigurationError:
        return msgspec.structs.replace(trace, operations=()), ()
    for operation in trace.operations:
        following.play(operation)
        if following.wrong:
            break
    following.end()
    return msgspec.structs.replace(trace, operations=tuple(following.performed)), tuple(following.wrong)


def shrink(
    trace: Trace, target: SafeTarget, *, budget: int = BUDGET, progress: Progress | None = None
) -> Shrunk | None:
    """The smallest trace that shows what this one shows on the target; None if it shows nothing."""
    performed, wrong = follow(trace, target)
    if not wrong:
        return None
    shrinking = _Shrinking(target, performed, wrong, budget, progress)
    shrinking.run()
    return Shrunk(shrinking.best, shrinking.wrong, shrinking.attempts)


class _SpentError(Exception):
    """No attempt is left."""


@final
class _Shrinking:
    """The smallest trace so far. `wrong` is what it shows."""

    def __init__(
        self,
        target: SafeTarget,
        trace: Trace,
        wrong: tuple[Difference, ...],
        budget: int,
        progress: Progress | None,
    ) -> None:
        self.best = trace
        self.wrong = wrong
        self.attempts = 0
        self._target: Final = target
        self._sort: Final = sort_of(wrong[0], _names(trace))
        self._size = _size_of(trace)
        self._budget: Final = budget
        self._progress: Final = progress
        self._tried: Final[set[Trace]] = {trace}

    def run(self) -> None:
        """Try all there is to try, again and again, until nothing gets smaller."""
        before = None
        with suppress(_SpentError):
            while before != self.best:
                before = self.best
                for smaller in PASSES:
                    self._sweep(smaller)

    def _sweep(self, smaller: Smaller) -> None:
        """Try the candidates in turn; behind one that was taken, go on with the next ones of its own."""
        at = 0
        while (candidate := next(islice(smaller(self.best), at, None), None)) is not None:
            if not self._takes(candidate):
                at += 1

    def _takes(self, candidate: Trace) -> bool:
        if candidate in self._tried:
            return False
        self._tried.add(candidate)
        if self.attempts >= self._budget:
            raise _SpentError
        self.attempts += 1
        performed, wrong = follow(candidate, self._target)
        size = _size_of(performed)
        if size >= self._size or not any(sort_of(d, _names(performed)) == self._sort for d in wrong):
            return False
        self.best, self.wrong, self._size = performed, wrong, size
        self._tried.add(performed)
        if self._progress is not None:
            self._progress(self.attempts, len(performed.operations))
        return True


def _names(trace: Trace) -> set[str]:
    return {operation.request for operation in trace.operations if isinstance(operation, NewRequest)}


def _size_of(trace: Trace) -> tuple[tuple[int, ...], ...]:
    """Fewer operations first, then tokens, then the rest of the history; the configuration between them."""
    operations, tokens, *rest = smaller_histories.size_of(trace.operations)
    groups, *numbers = smaller_configurations.size_of(trace.configuration)
    return ((operations, groups, tokens), tuple(numbers), tuple(rest))


def _of_histories(smaller: Callable[[Operations], Iterator[Operations]]) -> Smaller:
    def candidates(trace: Trace) -> Iterator[Trace]:
        return (msgspec.structs.replace(trace, operations=one) for one in smaller(trace.operations))

    return candidates


def _configurations(trace: Trace) -> Iterator[Trace]:
    for one in smaller_configurations.smaller(trace.configuration):
        yield msgspec.structs.replace(trace, configuration=one)


def _all_divided(trace: Trace) -> Iterator[Trace]:
    """Block sizes, spans and prompts at once."""
    configuration = trace.configuration
    sizes = (group.block_size for group in configuration.groups)
    for divisor in sorted({gcd(*sizes), 8, 4, 3, 2}, reverse=True):
        for one in smaller_configurations.divided(configuration, divisor):
            for up in (True, False):
                operations = smaller_histories.divided(trace.operations, divisor, up=up)
                yield msgspec.structs.replace(trace, configuration=one, operations=operations)


def _pools(trace: Trace) -> Iterator[Trace]:
    """A smaller pool, and no prompt that would overflow it; with a request less, or all of them."""
    configuration = trace.configuration
    histories = [trace.operations, *smaller_histories.without_request(trace.operations)]
    for blocks in range(1, configuration.num_blocks):
        longest = max(2, min(configuration.max_model_len, blocks * configuration.scheduler_block_size))
        one = msgspec.structs.replace(configuration, num_blocks=blocks, max_model_len=longest)
        for operations in histories:
            yield msgspec.structs.replace(trace, configuration=one, operations=operations)


PASSES: tuple[Smaller, ...] = (
    _of_histories(smaller_histories.without_request),
    *(
        _of_histories(partial(smaller_histories.without_stretch, length=length))
        for length in (32, 16, 8, 4, 3, 2, 1)
    ),
    _configurations,
    _all_divided,
    _pools,
    *map(
        _of_histories,
        (
            smaller_histories.with_fewer_tokens,
            smaller_histories.with_larger_steps,
            smaller_histories.with_longer_prompts,
            smaller_histories.with_smaller,
            smaller_histories.without_pair,
            smaller_histories.with_short_names,
        ),
    ),
)
