"""Surveys releases one after another, and keeps what is done."""

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from kvref.errors import UserError
from kvref.fuzz.report import write_json
from kvref.fuzz.safe import SafeTarget
from kvref.survey.catalogue import KNOWN
from kvref.survey.page import page
from kvref.survey.results import Survey, Surveyed, read
from kvref.survey.run import looked_at_again, survey_release
from kvref.targets.registry import open_target
from kvref.targets.vllm.reproducer import reproducer

RELEASES = (
    "0.11.2",
    "0.12.0",
    "0.13.0",
    "0.14.1",
    "0.15.1",
    "0.16.0",
    "0.17.1",
    "0.18.1",
    "0.19.1",
    "0.20.2",
    "0.21.0",
    "0.22.1",
    "0.23.0",
    "0.24.0",
    "0.25.1",
    "0.26.0",
    "0.27.1",
    "0.28.0",
    "0.29.0",
    "0.30.0",
    "0.31.0",
    "0.32.0",
    "0.33.0",
)
"""The newest of each minor release."""

SPECIFIED = "0.23.0"

Tell = Callable[[str], None]


def survey(
    releases: Sequence[str], operations: int, seed: int, data: Path, *, again: bool, tell: Tell
) -> Survey:
    """Survey what is not done yet. What is done is written after each release."""
    done = {one.release: one for one in _kept(data, operations, seed, again=again)}
    ids = {one.id for one in KNOWN}
    for release in releases:
        before = done.get(release)
        if before is not None and set(before.replayed) == ids:
            tell(f"vllm {release}: surveyed before")
            continue
        done[release] = _survey_one(release, before, operations, seed, tell)
        write_json(data, _survey(done, operations, seed))
    return _survey(done, operations, seed)


def _kept(data: Path, operations: int, seed: int, *, again: bool) -> Sequence[Surveyed]:
    before = None if again else read(data)
    return before.releases if before and (before.operations, before.seed) == (operations, seed) else ()


def _survey(done: dict[str, Surveyed], operations: int, seed: int) -> Survey:
    in_order = sorted(done.values(), key=lambda one: tuple(map(int, one.release.split("."))))
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    return Survey(today, operations, seed, in_order)


def _survey_one(release: str, before: Surveyed | None, operations: int, seed: int, tell: Tell) -> Surveyed:
    target = open_target(f"vllm=={release}", python=None, tell=tell)
    try:
        if before is not None:
            tell(f"vllm {release}: the catalogue has changed since it was surveyed")
            return looked_at_again(before, cast("SafeTarget", target), KNOWN)
        found = survey_release(
            cast("SafeTarget", target),
            release,
            seed,
            operations,
            KNOWN,
            lambda text: tell(f"{release}: {text}"),
        )
    finally:
        target.close()
    known = ", ".join(f"{name} {count}" for name, count in found.findings.items()) or "none"
    tell(
        f"vllm {release}: {found.seconds:.0f} s; findings: {known}; not in the catalogue: {len(found.unknown)}"
    )
    return found


def write_page(found: Survey, out: Path) -> None:
    """Write the page. Raises UserError if it cannot be written."""
    command = f"kvref survey --operations {found.operations} --seed {found.seed}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page(found, KNOWN, command), encoding="utf-8")
    except OSError as failure:
        raise UserError(f"{out} cannot be written ({failure.strerror}): choose another place") from failure


def write_reproducers(found: Survey, folder: Path) -> list[Path]:
    """Write a file for each finding, in vLLM's own classes; returns those that were written.

    For the release with a specification, if it is shown there, else for the newest that shows it.
    """
    written = []
    for one in KNOWN:
        shown = [surveyed.release for surveyed in found.releases if surveyed.replayed.get(one.id) == "fault"]
        if not shown:
            continue
        release = SPECIFIED if SPECIFIED in shown else shown[-1]
        path = folder / f"{one.id}.py"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(reproducer(one.trace, release), encoding="utf-8")
        except OSError as failure:
            raise UserError(
                f"{path} cannot be written ({failure.strerror}): choose another place"
            ) from failure
        written.append(path)
    return written
