"""A failure of a manager under test: what is wrong, and the trace that shows it."""

from collections.abc import Sequence

import msgspec

from kvref.compare import Difference
from kvref.operations import Trace

SHOWN = 8


class DivergenceError(AssertionError):
    """A manager does not do what it should. `trace` ends with the operation that showed it."""

    def __init__(self, target: str, level: str, trace: Trace, wrong: Sequence[Difference]) -> None:
        self.target = target
        self.level = level
        self.trace = trace
        self.wrong = tuple(wrong)
        super().__init__(self.tell())

    def tell(self) -> str:
        """What is wrong, a difference a line, and the trace in JSON."""
        last = self.trace.operations[-1] if self.trace.operations else "construction"
        lines = [f"{self.target}, level {self.level}, after {len(self.trace.operations)} operations: {last}"]
        lines += [f"  {one.what}: expected {one.expected}, got {one.actual}" for one in self.wrong[:SHOWN]]
        if len(self.wrong) > SHOWN:
            lines.append(f"  and {len(self.wrong) - SHOWN} more")
        lines.append(f"as a trace: {msgspec.json.encode(self.trace).decode()}")
        return "\n".join(lines)
