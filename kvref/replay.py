"""Reads a trace, and replays it on a target against the reference, or another target."""

from pathlib import Path

import msgspec

from kvref.errors import UserError
from kvref.judge import AGAINST_REFERENCE, Judgement, Terms, explain, judge
from kvref.operations import EMBEDDING_BYTES, Allocate, Lookup, NewRequest, Trace
from kvref.targets.base import LiveTarget, Target, run_case
from kvref.targets.picture import Opener


def read_trace(path: Path) -> Trace:
    """The trace in a file. Raises UserError, which says where it is broken."""
    try:
        text = path.read_bytes()
    except OSError as failure:
        raise UserError(f"{path} cannot be read ({failure.strerror}): name a trace file") from failure
    try:
        trace = msgspec.json.decode(text, type=Trace)
    except msgspec.MsgspecError as broken:
        raise UserError(f"{path} is not a trace of format 1: {broken}") from broken
    _check(path, trace)
    return trace


def _check(path: Path, trace: Trace) -> None:
    """Whether every operation can be performed: it names what came before it."""
    arrived: set[str] = set()
    looked_up: set[str] = set()
    for line, operation in enumerate(trace.operations):
        match operation:
            case NewRequest(request=name, embeds=embeds, tokens=tokens):
                arrived.add(name)
                if embeds is not None and len(embeds) != EMBEDDING_BYTES * len(tokens):
                    raise UserError(
                        f"{path}: operation {line} needs {EMBEDDING_BYTES} bytes of embeds a token"
                    )
            case Lookup(request=name):
                looked_up.add(name)
            case Allocate(request=name, hit=int()) if name not in looked_up:
                raise UserError(f"{path}: operation {line} uses a lookup that was not made")
        named = getattr(operation, "request", None)
        if named is not None and named not in arrived:
            raise UserError(f"{path}: operation {line} names request {named!r}, which has not arrived")


def replay(opener: Opener, target: Target, trace: Trace, terms: Terms = AGAINST_REFERENCE) -> Judgement:
    """Perform a trace on both sides; a known deviation is shown, too.

    Raises UserError if one of two targets cannot be asked what the trace asks.
    """
    if terms.against is None:
        expected = run_case(opener, trace)
    else:
        for side in (target, terms.against):
            _require_offered(side, trace)
        (expected,) = terms.against.run([trace])
    (actual,) = target.run([trace])
    judgement = judge(opener, target, trace, expected, actual, terms)
    if judgement.known is None or judgement.known.at_construction:
        return judgement
    return judgement._replace(finding=explain(opener, target, trace, judgement.agreed, terms))


def _require_offered(target: Target, trace: Trace) -> None:
    if isinstance(target, LiveTarget):
        lacking = target.capabilities.lacks_for(trace)
        if lacking is not None:
            raise UserError(f"{target.name} cannot be asked: {lacking}")
