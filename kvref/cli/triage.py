"""`kvref triage`: an entry for a catalogue of intended differences, from a finding."""

import sys
from pathlib import Path

from kvref.cli.common import agreed_terms, opened_target, tell
from kvref.cli.loading import load
from kvref.errors import UserError
from kvref.judge import replay_to
from kvref.replay import replay as replay_trace
from kvref.targets.reference import ReferenceSession
from kvref.triage import draft


def triage(
    trace: Path,
    *,
    target: str = "vllm==0.23.0",
    against: str | None = None,
    known: list[Path] | None = None,
    python: Path | None = None,
    out: Path | None = None,
) -> int:
    """Draft an entry for a catalogue of intended differences, from a finding: for --known.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it, or a recording, as `kvref record` does.
    target
        What shows the finding: see `kvref targets`.
    against
        Another target that it was held against, instead of the reference.
    known
        A catalogue that is there already; may be given again.
    python
        An interpreter that has the target, instead of an environment made for it.
    out
        The Python file to write; standard output, if it is not given.
    """
    with agreed_terms(against, known or ()) as terms:
        opened = opened_target(target, python)
        try:
            judgement = replay_trace(ReferenceSession, opened, load(trace), terms)
        finally:
            opened.close()
        if judgement.known is not None:
            raise UserError(f"{trace} shows {judgement.known.id}, which is known: there is nothing to draft")
        finding = judgement.finding
        if finding is None:
            raise UserError(f"{trace} agrees on {opened.name} and {terms.name}: there is nothing to draft")
        opener = terms.against.opener if terms.against is not None else ReferenceSession
        last = len(finding.trace.operations) - 1
        situation = None if finding.operation is None else replay_to(opener, finding.trace, last)
        text = draft(finding, situation, opened.name, terms.name)
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        with out.open("x") as file:
            file.write(text)
    except OSError as failure:
        raise UserError(f"{out} cannot be written ({failure.strerror}): choose another place") from failure
    tell(f"{out}: edit it, and pass it with --known {out}")
    return 0
