"""Replays a trace on a target, one operation after another, against the reference."""

from pathlib import Path

import msgspec

from kvref.compare import Difference, first_mismatch
from kvref.errors import ConfigurationError, UserError
from kvref.fuzz.campaign import Finding, explain, replay_to
from kvref.operations import NewRequest, Trace
from kvref.targets.base import CaseResult, Target, digest
from kvref.targets.deviations import Deviation, met_at_construction, met_by
from kvref.targets.picture import Opener

EMBEDDING_BYTES = 4


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
    arrived: set[str] = set()
    for line, operation in enumerate(trace.operations):
        name = getattr(operation, "request", None)
        if isinstance(operation, NewRequest):
            arrived.add(operation.request)
            rows = None if operation.embeds is None else len(operation.embeds) / EMBEDDING_BYTES
            if rows not in (None, len(operation.tokens)):
                raise UserError(f"{path}: operation {line} needs {EMBEDDING_BYTES} bytes of embeds a token")
        elif name is not None and name not in arrived:
            raise UserError(f"{path}: operation {line} names request {name!r}, which has not arrived")
    return trace


def expected_of(opener: Opener, trace: Trace) -> CaseResult:
    """What the reference shows on a trace. Raises UserError for a trace that cannot be performed."""
    try:
        session = opener(trace.configuration)
    except ConfigurationError as refusal:
        return CaseResult(refused=str(refusal))
    digests = []
    for line, operation in enumerate(trace.operations):
        try:
            observation = session.apply(operation)
        except LookupError as missing:
            raise UserError(f"operation {line} uses a lookup that was not made ({missing})") from missing
        digests.append(digest(observation, session.view()))
        if observation.error:
            break
    return CaseResult(tuple(digests))


def replay(opener: Opener, target: Target, trace: Trace) -> tuple[int, Deviation | None, Finding | None]:
    """How many operations agree, and what ended that: a known deviation, a finding, or nothing."""
    expected = expected_of(opener, trace)
    (result,) = target.run([trace])
    if expected.refused or result.refused:
        if expected.refused and result.refused:
            return 0, None, None
        known = met_at_construction(target.catalogue, trace.configuration)
        told = Difference("construction", expected.refused or "built", result.refused or "built")
        return 0, known, None if known else Finding(trace, None, (told,))
    at = first_mismatch(expected, result)
    if at is None:
        return len(expected.digests), None, None
    known = met_by(target.catalogue, replay_to(opener, trace, at))
    return at, known, explain(opener, target, trace, at)
