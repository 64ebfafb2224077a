"""Small pictures, settings and histories, which the plain forms of invariants are about.

Two blocks and the null block; blocks of one token where nothing else is said; one request `a`, seldom a
second one, `b`. What is left open stands in a lemma's arguments.
"""

from collections.abc import Sequence

from invariants import GroupSetting, History, Setting, Step, StepInvariant, View
from invariants.history import RequestRecord
from invariants.step import Action, Allocate, BlocksByGroup, Event
from spec.attention import FullAttention, SinkAttention, SlidingWindowAttention
from spec.units import Blocks, Tokens

BLOCKS = (1, 2)
ENTRIES = 2
FULL = GroupSetting(FullAttention(Tokens(1)))
WINDOW = GroupSetting(SlidingWindowAttention(Tokens(1), Tokens(2)))
SINK = GroupSetting(SinkAttention(Tokens(1), Tokens(1)))
SETTING = Setting((FULL, WINDOW), Blocks(3), Tokens(8), Tokens(1), Tokens(1))
EMPTY = View([0, 0, 0], [None, None, None], [1, 2], [], {}, {}, [], [], 0.0, None)


def known(block: int) -> int:
    """The same block, decided: what is counted by it has one path then, not one a count."""
    return next(one for one in (0, *BLOCKS, 3) if one == block)


def setting_of(*groups: GroupSetting) -> Setting:
    """The same pool for other groups."""
    return Setting(groups, Blocks(3), Tokens(8), Tokens(1), Tokens(1))


def record_of(
    tokens: int, contents: Sequence[int] = (), formats: Sequence[int] | None = None
) -> RequestRecord:
    """A request of so many tokens, whose blocks hold these contents, and look so to the format of keys."""
    seen = contents if formats is None else formats
    return RequestRecord([0] * tokens, None, None, [], None, True, [*contents], [*seen])  # noqa: FBT003 - it reads the cache


def past(setting: Setting = SETTING, **requests: RequestRecord) -> History:
    """A history of these requests."""
    return History(setting, dict(requests))


def finds(
    invariant: StepInvariant,
    action: Action,
    before: View = EMPTY,
    after: View = EMPTY,
    history: History | None = None,
    events: tuple[Event, ...] = (),
) -> bool:
    """Whether a step is found to be wrong."""
    return bool(invariant(before, Step(action, events), after, past() if history is None else history))


class _Allocate(Allocate):
    """Told without its numbers: a message that tells a number decides it, and then there is a path a number."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "an allocation"

    def __ch_deep_realize__(self, _memo: object) -> Allocate:
        """CrossHair's own hook: what is told of it needs none of its numbers."""
        return self


def allocate(
    *,
    computed: int = 0,
    new: int = 0,
    hit: int | None = None,
    lookahead: int = 0,
    external: int = 0,
    delay: bool = False,
    must_fit: bool = False,
    appended: BlocksByGroup | None = ((), ()),
) -> Allocate:
    """An allocation for `a`, with nothing but its name in a message."""
    found = None if hit is None else Tokens(hit)
    tokens = (Tokens(computed), Tokens(new), found, Tokens(lookahead), Tokens(external))
    return _Allocate("a", *tokens, delay, Tokens(0), must_fit, appended)
