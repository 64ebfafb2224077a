"""`kvref fuzz`: random cases, on a target."""

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kvref.cli.common import DIVERGED, agreed_terms, console, require_positive, tell
from kvref.cli.keeping import Keeping, shrunk
from kvref.cli.line_coverage import A_MINUTE, measuring, tell_coverage
from kvref.cli.tested import Tested
from kvref.errors import UserError
from kvref.fuzz.campaign import Memory, conduct
from kvref.fuzz.cluster import Cluster
from kvref.fuzz.configurations import Profile
from kvref.fuzz.histogram import below_floor
from kvref.fuzz.processes import Processes
from kvref.fuzz.report import progress, summary, tell_report, write_json
from kvref.fuzz.settings import FOLLOWED, WITNESSED, Level, Settings, Slice
from kvref.fuzz.state import state_in
from kvref.fuzz.tally import Report
from kvref.fuzz.workers import Here, Runner, Workers
from kvref.jobs import Job, runner_on
from kvref.judge import Terms
from kvref.targets.deviations import Catalogue


def fuzz(
    *,
    tested: Tested = Tested(),
    against: str | None = None,
    known: list[Path] | None = None,
    seed: int = 1,
    cases: int | None = None,
    seconds: float | None = None,
    level: Level = "exact",
    profile: Profile = "mixed",
    length: int = 60,
    first: int = 0,
    witnessed: int = WITNESSED,
    followed: int = FOLLOWED,
    findings: Path = Path("findings"),
    report: Annotated[Path | None, Parameter(help="Write what was seen as JSON.")] = None,
    workers: int | None = None,
    slice: str = "1/1",  # noqa: A002 - the option's name
    state: Path | None = None,
    ray: str | None = None,
    guidance: Literal["on", "off"] = "off",
    floor: int | None = None,
    coverage: Annotated[bool, Parameter(negative=())] = False,
    coverage_page: Path | None = None,
) -> int:
    """Hold a target against the reference on random cases.

    Parameters
    ----------
    against
        Another target to hold it against, instead of the reference; cases are drawn on that one.
    known
        A Python file with a catalogue of intended differences, see docs/known.md; may be given again.
    seed
        All choices follow from it.
    cases
        How many cases; 500 if neither this nor seconds is given.
    seconds
        How long at the most.
    level
        `exact` compares everything with the reference after every operation; `invariants`
        checks what must always hold, on a target that runs in this process; `safe` puts data
        behind the block ids of any manager, and checks every read (needs torch); `hits` is safe, and
        asks for the reference's hit lengths, admissions and refusals, with any block ids.
    profile
        `mixed` draws everything, what is known to deviate included; `clean` leaves that out.
    length
        Operations a case.
    first
        The number of the first case: a case is repeated by its seed, profile and number.
    witnessed
        The invariants are checked on one case in so many: 1 checks all. At level safe only where
        the target shows its state.
    followed
        At level exact data is put behind the block ids of one careful case in so many, every second
        case being careful: 1 follows them all (where torch is installed).
    findings
        The folder that traces of findings are written to.
    workers
        So many processes run the cases, each with a target of its own; what is found is the same.
    slice
        Run this share of the cases only: 3/16 is the third of sixteen.
    state
        A folder that keeps the campaign after every batch. Where it holds one, that goes on.
    ray
        The address of a Ray cluster that runs the cases, or local; needs kvref[ray].
    guidance
        on: half of the cases aim at what random choice seldom reaches.
    floor
        Fail if a kind and a feature met in an event less often than this (docs/campaigns.md).
    coverage
        Show which lines of vLLM 0.23.0's core files were run.
    coverage_page
        Write that as a page.
    """
    for value, name in (
        (cases, "--cases"),
        (seconds, "--seconds"),
        (length, "--length"),
        (witnessed, "--witnessed"),
        (followed, "--followed"),
        (workers, "--workers"),
        (floor, "--floor"),
    ):
        require_positive(value, name)
    if first < 0:
        raise UserError(f"--first {first} is negative: cases count from 0")
    if cases is None and seconds is None:
        cases = A_MINUTE if coverage else 500
    _refuse_in_vain(level, profile, against, known)
    if coverage and (level != "exact" or workers is not None or ray is not None):
        raise UserError("--coverage measures level exact in one process: leave out --level, --workers, --ray")
    settings = Settings(
        seed,
        cases,
        seconds,
        profile,
        level,
        length,
        first,
        witnessed,
        followed,
        Slice.parsed(slice),
        guidance == "on",
    )
    named = tested.named
    job = Job(named, against, tuple(known or ()), settings)
    mistaken: list[str] = []
    with (
        agreed_terms(against, known or ()) as terms,
        closing(measuring(named.name, named.python) if coverage else tested.open(level)) as opened,
    ):
        runner = runner_on(opened, settings, terms)
        other = "the reference" if terms.against is None else terms.name
        told = f", level {level}" if settings.plays_on_target else f" against {other}"
        tell(f"{opened.name}{told}, seed {seed}, profile {profile}")
        with ExitStack() as held:
            begun = Report(opened.name, settings, against=terms.name)
            ledger = held.enter_context(state_in(state, begun)) if state else Memory(begun)
            crew = _workers(runner, job, workers, ray)
            on_batch = held.enter_context(progress(console))
            seen = conduct(crew, ledger, on_batch)
        # Shrinking compares with the reference.
        shrinks = terms.against is None and not seen.failure
        small = shrunk(seen.findings, opened, level) if shrinks else []
        if coverage and not seen.failure:
            mistaken = tell_coverage(opened, seen.cases, seed, coverage_page)
        tell_report(console, seen, terms.catalogue(opened), _titles(settings, terms))
        _tell_unmet(terms.known, seen.deviations)
        keeping = Keeping(findings, named, level, terms.name)
        unwritten = keeping.keep(seen.findings, small, None if seen.failure else opened)
    if report is not None:
        write_json(report, summary(seen))
    if seen.failure or unwritten:
        raise UserError(str(seen.failure or unwritten))
    below = below_floor(seen.coverage, floor) if floor else []
    for cell in below:
        tell(f"below the floor: {cell} {seen.coverage.cells[cell]} visits, not {floor}")
    return DIVERGED if seen.findings or below or mistaken else 0


def _refuse_in_vain(level: Level, profile: Profile, against: str | None, known: list[Path] | None) -> None:
    """Raises UserError for options that would do nothing together."""
    if against is not None and (level != "exact" or profile == "clean"):
        raise UserError(
            "--against compares two targets at --level exact, --profile mixed: leave out the other"
        )
    if known and level == "invariants":
        raise UserError(
            "--known excuses what differs, and level invariants compares nothing: use exact or safe"
        )


def _workers(runner: Runner, job: Job, count: int | None, ray: str | None) -> Workers:
    if ray is not None:
        return Cluster(ray, count, job)
    return Here(runner) if count is None else Processes(count, job)


def _titles(settings: Settings, terms: Terms) -> dict[str, str]:
    """What is known at levels safe and hits, by id."""
    if not settings.plays_on_target:
        return {}
    from kvref.survey.catalogue import KNOWN  # noqa: PLC0415 - reads its traces

    return {one.id: one.title for one in KNOWN} | {one.id: one.title for one in terms.known}


def _tell_unmet(known: Catalogue, met: Mapping[str, int]) -> None:
    """The user's entries that excused nothing: what they describe is gone, or was not drawn."""
    for entry in known:
        if not met[entry.id]:
            tell(f"never met: {entry.id}: {entry.title}")
