"""Level `exact`: where a target shows something else than the reference."""

from typing import Final, final

import msgspec

from kvref.compare import Difference
from kvref.errors import UserError
from kvref.fuzz.mending import Mending
from kvref.fuzz.shows import Shown, bare, names_of, relation
from kvref.judge import explain, judge
from kvref.operations import Observation, Trace
from kvref.targets.base import Target
from kvref.targets.picture import Opener

Sort = tuple[str, str]
"""What differs, and how: without names and numbers."""


@final
class Exact:
    """Plays smaller forms of `trace` on the reference, and on the target as they were performed there."""

    def __init__(self, opener: Opener, target: Target, trace: Trace) -> None:
        self._opener: Final = opener
        self._target: Final = target
        self._mending = Mending(opener, trace, getattr(target, "capabilities", None))
        # What follows the difference says nothing of the scheduler that came as far.
        self._mending = self._mending.of(self.play(trace).trace)

    def play(self, trace: Trace) -> Shown:
        """Play a trace as far as it is legal, up to the first difference."""
        performed, expected = self._mending.perform(trace)
        try:
            (actual,) = self._target.run([performed])
            judgement = judge(self._opener, self._target, performed, expected, actual)
            known, finding = judgement.known, judgement.finding
            if known is not None and not known.at_construction:
                finding = explain(self._opener, self._target, performed, judgement.agreed)
        except UserError:
            raise
        except Exception:  # noqa: BLE001 - a faulty manager may raise anything: that is no comparison
            return Shown(performed)
        name = known.id if known is not None else None
        if (expected.refused is None) is not (actual.refused is None):
            told = Difference("construction", expected.refused or "built", actual.refused or "built")
            return Shown(msgspec.structs.replace(trace, operations=()), (told,), name)
        return Shown(performed) if finding is None else Shown(finding.trace, finding.differences, name)

    def is_same(self, first: Shown, other: Shown) -> bool:
        """Whether the same kind of operation returns what differs in the same way, and no other state does."""
        if not other.differences or first.known != other.known:
            return False
        ours, theirs = _sorts(first), _sorts(other)
        return (
            type(first.operation) is type(other.operation)
            and ours[0] == theirs[0]
            and _returned(ours) == _returned(theirs)
            and set(theirs) <= set(ours)
        )


def _sorts(shown: Shown) -> list[Sort]:
    names = names_of(shown.trace)
    return [(bare(one.what, names), relation(one, names)) for one in shown.differences]


def _returned(sorts: list[Sort]) -> set[Sort]:
    """What the caller sees; the rest is state, and events."""
    return {sort for sort in sorts if sort[0] in Observation.__struct_fields__}
