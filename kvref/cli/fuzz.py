"""`kvref fuzz`: random cases, on a target."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kvref.cli.common import DIVERGED, console, needing_torch, opened_target, require_positive
from kvref.errors import UserError
from kvref.fuzz import safe
from kvref.fuzz.campaign import WITNESSED, Settings, run
from kvref.fuzz.configurations import Profile
from kvref.fuzz.report import (
    progress,
    safe_summary,
    summary,
    tell_finding,
    tell_report,
    tell_safe,
    write_json,
    write_trace,
)
from kvref.judge import Finding
from kvref.replay import replay as replay_trace
from kvref.targets.base import Target
from kvref.targets.deviations import Verdict
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession

SHOWN_FINDINGS = 3
ATTEMPTS = 400
"""So many attempts shrink a finding, to see whether it is known."""


def fuzz(
    *,
    target: str = "vllm==0.23.0",
    seed: int = 1,
    cases: int | None = None,
    seconds: float | None = None,
    level: Literal["exact", "invariants", "safe"] = "exact",
    profile: Profile = "mixed",
    length: int = 60,
    first: int = 0,
    witnessed: int = WITNESSED,
    python: Path | None = None,
    findings: Path = Path("findings"),
    report: Annotated[Path | None, Parameter(help="Write what was seen as JSON.")] = None,
) -> int:
    """Hold a target against the reference on random cases.

    Parameters
    ----------
    target
        What to test: see `kvref targets`.
    seed
        All choices follow from it.
    cases
        How many cases; 500 if neither this nor seconds is given.
    seconds
        How long at the most.
    level
        `exact` compares everything with the reference after every operation; `invariants`
        checks what must always hold, on a target that runs in this process; `safe` puts data
        behind the block ids of any manager, and checks every read (needs torch).
    profile
        `mixed` draws everything, what is known to deviate included; `clean` leaves that out.
    length
        Operations a case.
    first
        The number of the first case: a case is repeated by its seed, profile and number.
    witnessed
        The invariants are checked on one case in so many: 1 checks all. At level safe only where
        the target runs in this process.
    python
        An interpreter that has the target, instead of an environment made for it.
    findings
        The folder that traces of findings are written to.
    """
    for value, name in (
        (cases, "--cases"),
        (seconds, "--seconds"),
        (length, "--length"),
        (witnessed, "--witnessed"),
    ):
        require_positive(value, name)
    if first < 0:
        raise UserError(f"--first {first} is negative: cases count from 0")
    if cases is None and seconds is None:
        cases = 500
    opened = opened_target(target, python)
    if level == "safe":
        return _fuzz_safe(
            opened, safe.Settings(seed, cases, seconds, profile, length, first, witnessed), findings, report
        )
    opener: Opener = ReferenceSession
    if level == "invariants":
        own = getattr(opened, "opener", None)
        if own is None:
            raise UserError(f"level invariants needs a target in this process, not {target}: use exact")
        opener = own
    settings = Settings(seed, cases, seconds, profile, level, length, first, witnessed)
    console.print(f"{opened.name} against the reference, seed {seed}, profile {profile}", highlight=False)
    try:
        with progress(console) as on_batch:
            seen = run(settings, opener, opened, on_batch)
    finally:
        opened.close()
    tell_report(console, seen, opened.catalogue)
    unwritten = _keep(seen.findings, findings, target)
    if report is not None:
        write_json(report, summary(seen))
    if seen.failure or unwritten:
        raise UserError(str(seen.failure or unwritten))
    return DIVERGED if seen.findings else 0


def _fuzz_safe(opened: Target, settings: safe.Settings, findings: Path, report: Path | None) -> int:
    if not isinstance(opened, safe.SafeTarget):
        raise UserError(
            f"level safe asks a target one operation at a time, which {opened.name} cannot: use exact"
        )
    console.print(
        f"{opened.name}, level safe, seed {settings.seed}, profile {settings.profile}", highlight=False
    )

    with needing_torch("level safe"):
        from kvref.fuzz.play import play  # noqa: PLC0415
        from kvref.fuzz.shrink import shrink  # noqa: PLC0415
        from kvref.survey.catalogue import KNOWN, which  # noqa: PLC0415

    # What is known of vLLM excuses nobody else.
    catalogue = () if opened.capabilities.is_sound else KNOWN

    def recognise(finding: Finding) -> str | None:
        if opened.catalogue:
            known = replay_trace(ReferenceSession, opened, finding.trace).known
            if known is not None and known.verdict is Verdict.UNSAFE:
                return known.id
        small = shrink(finding.trace, opened, budget=ATTEMPTS)
        found = which(catalogue, small.trace, small.wrong[0]) if small else None
        return found.id if found is not None else None

    try:
        with progress(console) as on_batch:
            seen = safe.run(settings, opened, play, recognise, on_batch)
        for number, finding in enumerate(seen.findings[:SHOWN_FINDINGS]):
            small = None if seen.failure else shrink(finding.trace, opened)
            if small is not None:
                seen.findings[number] = Finding(small.trace, small.trace.operations[-1], small.wrong)
    finally:
        opened.close()
    tell_safe(console, seen, {one.id: one.title for one in KNOWN})
    unwritten = _keep(seen.findings, findings, opened.name, safe_level=True)
    if report is not None:
        write_json(report, safe_summary(seen))
    if seen.failure or unwritten:
        raise UserError(str(seen.failure or unwritten))
    return DIVERGED if seen.findings else 0


def _keep(found: list[Finding], folder: Path, target: str, *, safe_level: bool = False) -> UserError | None:
    """Write the traces of findings and tell the first ones, even if they cannot be written."""
    unwritten = None
    for number, finding in enumerate(found):
        path = None
        try:
            path = write_trace(folder, finding.trace)
        except UserError as failure:
            unwritten = failure
        if number < SHOWN_FINDINGS:
            tell_finding(console, finding, target, path, safe_level=safe_level)
    return unwritten
