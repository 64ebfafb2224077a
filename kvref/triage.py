"""Drafts an entry for a user's own catalogue from a finding: as narrow as it can be told, to be edited."""

import re
from collections.abc import Iterable
from hashlib import blake2b

from kvref.compare import Difference
from kvref.facts import facts, features
from kvref.judge import Finding
from kvref.targets.deviations import Situation

_RULES = {
    "construction": "CFG-3",
    "tokens": "HIT-7",
    "done": "RESET-1",
    "stats": "STATS-1",
    "usage": "USAGE-1",
    "event": "EVENT-2",
    "handled": "DATA-8",
    "Free: free queue": "FREE-1",
    "Allocate: free queue": "SKIP-3",
    "RemoveSkipped: free queue": "SKIP-3",
    "Allocate: blocks": "GET-2",
    "Lookup: blocks": "HIT-6",
    "Allocate: key": "ALLOC-12",
    "CacheBlocks: key": "CACHE-4",
    "TakeNewBlockIds: numbers": "IDS-1",
    "CommonPrefix: numbers": "COMMON-1",
}
"""The rule that a difference is about, by what differs, or by the operation and what differs."""


def draft(finding: Finding, situation: Situation | None, target: str, against: str) -> str:
    """A Python file with one entry, which excuses this finding and what is like it.

    `situation` is what the finding's last operation met, None if a configuration was refused.
    """
    kinds = features(finding.trace.configuration)
    what = finding.differences[0].what if finding.differences else "operations performed"
    name = "construction" if situation is None else type(situation.operation).__name__
    seen = frozenset[str]() if situation is None else facts(situation)
    mark = blake2b(repr((sorted(kinds), sorted(seen))).encode(), digest_size=3).hexdigest()
    differing = ", ".join(dict.fromkeys(_bare(d.what) for d in finding.differences))
    return _TEXT.format(
        about=_quoted(f"{target} differs from {against}").strip('"'),
        imports="" if situation is None else ", facts",
        operations=", ".join(sorted({"Configuration", name} - {"construction"})),
        kinds=_set_text(kinds),
        recognises=_NOTHING if situation is None else _SITUATION.format(name=name, facts=_set_text(seen)),
        id=_quoted("-".join(re.findall(r"[a-z0-9]+", f"{name} {_bare(what)} {mark}".lower()))),
        rule=_quoted(_rule_of(name, finding.differences)),
        release=_quoted(target),
        title=_quoted(f"{name}: another {differing}"),
        at_construction="" if situation is not None else "\n        at_construction=True,",
    )


def _rule_of(name: str, found: Iterable[Difference]) -> str:
    for difference in found:
        what = _bare(difference.what)
        if what == "blocks" and "-" in (difference.expected, difference.actual):
            return "ALLOC-7"
        rule = _RULES.get(f"{name}: {what}") or _RULES.get(what)
        if rule is not None:
            return rule
    return ""


def _bare(what: str) -> str:
    """What differs, without the numbers and names of blocks, events and requests."""
    return re.sub(r"^(key|users|tables|handled|event)\b.*", r"\1", what)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _set_text(names: frozenset[str]) -> str:
    """A set as source text, one name a line."""
    if not names:
        return "frozenset()"
    return "{\n" + "".join(f"        {_quoted(name)},\n" for name in sorted(names)) + "    }"


_SITUATION = """isinstance(situation.operation, {name}) and facts(situation) == {facts}"""
_NOTHING = "False  # it is met when the manager is built"
_TEXT = '''\
"""{about}.

Drafted by `kvref triage`: say what is meant, and widen what is too narrow.
"""

from kvref.known import Deviation, Situation, Verdict{imports}, features
from kvref.operations import {operations}


def concerns(configuration: Configuration) -> bool:
    """The configurations in which it can be met."""
    return features(configuration) == {kinds}


def recognises(situation: Situation) -> bool:
    """The situations, told by what was there before: see docs/known.md."""
    return {recognises}


KNOWN = (
    Deviation(
        id={id},
        rule={rule},  # of spec/RULES.md, as far as it can be told
        releases=({release},),
        verdict=Verdict.COSMETIC,  # or UNSAFE, or SUBOPTIMAL
        title={title},
        concerns=concerns,
        recognises=recognises,{at_construction}
    ),
)
'''
