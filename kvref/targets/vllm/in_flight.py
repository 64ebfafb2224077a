"""Tokens that were given to steps which have not run yet.

Since 0.26 vLLM's scheduler keeps their number with each request: blocks behind a window are released
only once the steps that read them have run.
"""

from collections import deque
from typing import Any


class StepsInFlight:
    """The steps that have begun and not ended, and the tokens of each, by request [PROTO-12].

    What comes outside a step counts as in flight until a step ends: such an order is not this one's to judge.
    """

    def __init__(self) -> None:
        self._steps: deque[list[tuple[Any, int]]] = deque()

    def begin(self) -> None:
        """A step begins; the one before it is launched."""
        self._steps.append([])

    def schedule(self, request: Any, tokens: int) -> None:
        """The step that began last computes so many tokens of the request."""
        if not self._steps:
            self.begin()
        request.num_in_flight_tokens += tokens
        self._steps[-1].append((request, tokens))

    def end(self) -> None:
        """The oldest step has run."""
        for request, tokens in self._steps.popleft() if self._steps else ():
            request.num_in_flight_tokens -= tokens
