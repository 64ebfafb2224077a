"""What the zoo's entries are made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kvref.errors import UserError
from kvref.operations import Configuration, NewRequest
from kvref.zoo.copies import sources_of

Driver = Literal["fuzz", "hypothesis"]
Level = Literal["exact", "hits", "safe", "invariants"]

PACKAGE = "kvref.optimized"

Sees = Callable[[Configuration, NewRequest], NewRequest]
"""A request as the manager sees it: what it does not see cannot enter a key."""


@dataclass(frozen=True)
class Edit:
    """One change of a module of the optimized manager: `was` occurs in it once, and becomes `now`."""

    module: str
    was: str
    now: str


@dataclass(frozen=True)
class Bug:
    """One fault, and the rule that it breaks.

    `origin` names what was seen elsewhere, as `owner/repository#number` or as a quirk of the rules' index.
    `hidden` has the levels at which it cannot be seen by its nature, and why.
    """

    name: str
    rule: str
    title: str
    edits: tuple[Edit, ...] = ()
    sees: Sees | None = None
    origin: str = ""
    hidden: Mapping[Level, str] = field(default_factory=dict)

    def shows_at(self, level: Level) -> bool:
        """Whether the level looks at what is wrong."""
        return level not in self.hidden


def changed_by(bug: Bug) -> dict[str, str]:
    """By module, the sources with the bug. Raises UserError if an edit no longer fits them."""
    changed: dict[str, str] = {}
    for edit in bug.edits:
        source = changed.get(edit.module, sources_of(PACKAGE)[edit.module][1])
        count = source.count(edit.was)
        if count != 1:
            raise UserError(
                f"bug {bug.name}: {edit.was!r} occurs {count} times in {edit.module}.py, where it should once: "
                "mend the edit"
            )
        changed[edit.module] = source.replace(edit.was, edit.now)
    return changed


# Why a level cannot see a bug.

ORDER = "which free block is taken next is a manager's own choice"
CHOICE = "what is kept, and so what is hit, is a manager's own choice as long as it is sound"
REPORT = "the level does not ask for what is reported"
MISTAKE = "nobody makes that mistake at this level"
