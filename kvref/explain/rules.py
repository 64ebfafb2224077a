"""The rules that a divergence is about: which decide what differs, and what they say."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from invariants import STATE_INVARIANTS, STEP_INVARIANTS, Violation
from kvref.compare import Difference
from kvref.operations import Operation

_MENTION = re.compile(r"\b([A-Z]+)-(\d+)\b(?:\s+to\s+\1-(\d+)\b)?")
_ROW = re.compile(r"^\| ([A-Z]+-\d+) \| ([^|]+) \|", re.MULTILINE)

ANY = "any operation"
DECIDED_BY = (
    ("construction", ANY, "CFG-3"),
    ("operations performed", ANY, "OBS-1"),
    ("error", "Allocate", "ALLOC-1 ALLOC-15 ALLOC-18"),
    ("error", "CacheBlocks", "CACHE-2"),
    ("error", "Evict", "POOL-8"),
    ("error", ANY, "OBS-1"),
    ("tokens", "Lookup", "HIT-7 HIT-8"),
    ("tokens", ANY, "OBS-1"),
    ("blocks", "Lookup", "HIT-6 MAP-2"),
    ("blocks", "Allocate", "ALLOC-7 ALLOC-13 QUEUE-3"),
    ("blocks", ANY, "OBS-5"),
    ("done", ANY, "RESET-1"),
    ("numbers", "TakeNewBlockIds", "IDS-1"),
    ("numbers", ANY, "COMMON-1"),
    ("stats", "TakeStats", "STATS-2"),
    ("stats", "Reset", "RESET-2"),
    ("stats", ANY, "STATS-1"),
    ("event", "Reset", "EVENT-5"),
    ("event", "Evict", "EVENT-4"),
    ("event", ANY, "EVENT-3 EVENT-4 EVENT-7"),
    ("free queue", "Free", "FREE-1 FREE-2 FREE-3"),
    ("free queue", "RemoveSkipped", "SKIP-2 SKIP-3"),
    ("free queue", "Lookup", "HIT-9"),
    ("free queue", ANY, "QUEUE-3 QUEUE-5"),
    ("users of", "Free", "POOL-7 FREE-5"),
    ("users of", "RemoveSkipped", "SKIP-1"),
    ("users of", ANY, "INV-3 POOL-6"),
    ("key of", "Evict", "POOL-8"),
    ("key of", "Reset", "RESET-1"),
    ("key of", ANY, "CACHE-4 POOL-4"),
    ("prefix map", "Evict", "POOL-8"),
    ("prefix map", "Reset", "RESET-1"),
    ("prefix map", ANY, "MAP-1 MAP-3 MAP-4"),
    ("tables of", "RemoveSkipped", "SKIP-1"),
    ("tables of", "Free", "FREE-1"),
    ("tables of", ANY, "BIND-6 GET-1"),
    ("handled of", ANY, "MGR-4 BIND-7"),
    ("reserved", ANY, "SINK-1"),
    ("step keys", "NewStep", "MAMBA-4"),
    ("step keys", ANY, "MAMBA-3"),
    ("usage", ANY, "USAGE-1"),
)
"""What differs, as `kvref.compare` names it, in which operation, and the rules that decide it."""

JUDGED_BY = (
    (r"(reads|writes) token \d+ in group", "PROTO-18"),
    (r"^reset, ", "RESET-1"),
    (r"^hit length of ", "INV-9"),
    (r", admitted whole, ", "ADMIT-1"),
    (r"^admission of .*, alone$", "PROTO-7"),
    (r"^error$", "OBS-1"),
)
"""What level `safe` finds wrong, and the rule that says so."""


@dataclass(frozen=True)
class Known:
    """A catalogued deviation: how bad it is, and the rules that it departs from."""

    id: str
    verdict: str
    title: str
    rules: str = ""


@dataclass(frozen=True)
class Rule:
    """A rule, its text, and why it is told."""

    id: str
    text: str
    why: str


@cache
def texts() -> dict[str, str]:
    """What each rule says, by its id, as the index of rules has it."""
    index = files("spec").joinpath("RULES.md").read_text(encoding="utf-8")
    return {rule: text.strip() for rule, text in _ROW.findall(index)}


@cache
def statements() -> dict[str, str]:
    """What each invariant says, by its name, without the ids of its rules."""
    return {
        name: re.sub(r"\s*\[[^\]]*\]", "", " ".join(statement.split("\n\n")[0].split()))
        for name, statement in _invariants().items()
    }


def rules_of_invariant(name: str) -> list[str]:
    """The ids that an invariant's statement cites."""
    return mentioned(_invariants().get(name, ""))


def mentioned(text: str) -> list[str]:
    """The ids in a text, those of `A-1 to A-3` included, each once."""
    ids = [
        f"{area}-{number}"
        for area, first, last in _MENTION.findall(text)
        for number in range(int(first), int(last or first) + 1)
    ]
    return list(dict.fromkeys(ids))


def _invariants() -> dict[str, str]:
    return {one.id: one.statement for one in STATE_INVARIANTS} | {
        one.id: one.statement for one in STEP_INVARIANTS
    }


def deciding(what: str, operation: Operation | None) -> list[str]:
    """The ids of the rules that decide one thing that differs after an operation."""
    name = type(operation).__name__
    for part, kind, ids in DECIDED_BY:
        if what.startswith(part) and kind in (name, ANY):
            return ids.split()
    for pattern, ids in JUDGED_BY:
        if re.search(pattern, what):
            return ids.split()
    return rules_of_invariant(what)


def broken_rules(
    known: Known | None,
    wrong: Iterable[Difference],
    violations: Iterable[Violation],
    operation: Operation | None,
) -> tuple[Rule, ...]:
    """The rules that a divergence is about.

    Those that a known deviation departs from; else those that decide what differs, and before them those
    of broken invariants that say something else.
    """
    if known is not None:
        why = f"known deviation {known.id}"
        return _told(dict.fromkeys([*mentioned(known.rules), known.id], why))
    decide = {rule: f"decides: {one.what}" for one in wrong for rule in deciding(one.what, operation)}
    broken = {
        rule: f"invariant {violation.invariant}"
        for violation in violations
        for rule in rules_of_invariant(violation.invariant)
        if decide.keys().isdisjoint(rules_of_invariant(violation.invariant))
    }
    return _told(broken | decide)


def _told(reasons: dict[str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(rule, texts()[rule], why) for rule, why in reasons.items() if rule in texts())
