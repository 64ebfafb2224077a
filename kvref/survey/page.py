"""The survey as a page: what the newest release does wrong comes first."""

from collections.abc import Iterator, Sequence

from kvref.fuzz import coverage
from kvref.fuzz.coverage import FEATURES
from kvref.survey.catalogue import Harm, Known
from kvref.survey.results import Survey, Surveyed

KINDS = tuple(kind for kind in coverage.KINDS if kind != "sink")
MOST_REASONS = 6
SHORT = {"fault": "**fault**", "sound": "sound", "cannot be asked": "-"}


def page(survey: Survey, known: Sequence[Known], command: str) -> str:
    """The survey in Markdown."""
    return (
        "\n".join([*_head(survey, command), *_findings(survey, known), *_tables(survey), *_reasons(survey)])
        + "\n"
    )


def _head(survey: Survey, command: str) -> Iterator[str]:
    newest = survey.releases[-1].release
    operations = min(one.operations for one in survey.releases)
    yield f"""\
# Every release of vLLM, at level safe

Generated on {survey.date} by `{command}`; do not edit. Each release from {survey.releases[0].release} to {newest} was
played by a careful scheduler for at least {operations:,} operations (seed {survey.seed}), with content behind its
block ids: every slot that a step reads was checked, and every refusal and leak. Nothing is compared with our own
manager. A finding is shrunk on the release itself, recognised by what is left of it, and its smallest trace replayed on
all releases. All of this breaks what a legal scheduler relies on (`kvref/protocol.py`); whether
vLLM's own scheduler asks for a sequence is said only where it is known. What that scheduler does ask for, and a manager
cannot be blamed for, is in [`reproducers/`](../reproducers).
"""


def _findings(survey: Survey, known: Sequence[Known]) -> Iterator[str]:
    newest = survey.releases[-1]
    now = [one for one in known if _shows(newest, one)]
    before = [one for one in known if not _shows(newest, one)]
    yield f"## On the newest release, {newest.release}\n"
    yield from _finding_table(survey, sorted(now, key=_gravity))
    yield "\n## Mended since, or not met there\n"
    yield from _finding_table(survey, sorted(before, key=_gravity))
    new = [(one.release, unknown) for one in survey.releases for unknown in one.unknown]
    yield "\n## Not in the catalogue\n"
    if not new:
        yield "None."
    for release, unknown in new:
        yield f"- {release}: {unknown.what}: {unknown.actual}, where {unknown.expected} was due"
    yield ""


def _gravity(one: Known) -> tuple[int, str]:
    return list(Harm).index(one.harm), one.id


def _shows(surveyed: Surveyed, one: Known) -> bool:
    return surveyed.replayed[one.id] == "fault" or one.id in surveyed.findings


def _finding_table(survey: Survey, known: Sequence[Known]) -> Iterator[str]:
    yield "| id | harm | what | what it takes | shown on | upstream | alone |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for one in known:
        shown = [surveyed.release for surveyed in survey.releases if _shows(surveyed, one)]
        alone = f"[`{one.id}.py`](../reproducers/managers/{one.id}.py)"
        columns = (
            one.id,
            one.harm.value,
            one.title,
            one.when,
            _span(survey, shown),
            one.upstream or "-",
            alone,
        )
        yield f"| {' | '.join(columns)} |"


def _span(survey: Survey, shown: Sequence[str]) -> str:
    """Releases as stretches: `0.12.0 to 0.18.1`."""
    order = [surveyed.release for surveyed in survey.releases]
    stretches: list[list[str]] = []
    for release in shown:
        if stretches and order.index(release) == order.index(stretches[-1][-1]) + 1:
            stretches[-1].append(release)
        else:
            stretches.append([release])
    return ", ".join(one[0] if len(one) == 1 else f"{one[0]} to {one[-1]}" for one in stretches) or "-"


def _tables(survey: Survey) -> Iterator[str]:
    yield "## Release by kind\n"
    yield "Thousands of operations in cases that had the kind, and the findings that their shrunk traces still had;"
    yield "`-`: the release has none, or refuses it.\n"
    yield from _grid(survey, KINDS)
    yield "\n## Release by feature\n"
    yield from _grid(survey, FEATURES)
    yield "\n## Kind by feature, release by release\n"
    for one in reversed(survey.releases):
        yield from _pairs(one)
    yield "\n## Each finding's own trace, on every release\n"
    ids = list(survey.releases[0].replayed)
    yield f"| release | {' | '.join(ids)} |"
    yield f"| --- |{' --- |' * len(ids)}"
    for one in reversed(survey.releases):
        cells = [SHORT[one.replayed[name]] for name in ids]
        yield f"| {one.release} | {' | '.join(cells)} |"
    yield ""


def _grid(survey: Survey, rows: Sequence[str]) -> Iterator[str]:
    yield f"| release | {' | '.join(rows)} |"
    yield f"| --- |{' --- |' * len(rows)}"
    for one in reversed(survey.releases):
        yield f"| {one.release} | {' | '.join(_cell(one, row) for row in rows)} |"


def _pairs(one: Surveyed) -> Iterator[str]:
    yield f"<details><summary>{one.release}</summary>\n"
    yield f"| feature | {' | '.join(KINDS)} |"
    yield f"| --- |{' --- |' * len(KINDS)}"
    for feature in FEATURES:
        cells = [_told(one, one.by_pair.get(kind, {}).get(feature, 0), kind, feature) for kind in KINDS]
        yield f"| {feature} | {' | '.join(cells)} |"
    yield "\n</details>\n"


def _cell(one: Surveyed, row: str) -> str:
    return _told(one, one.by_feature.get(row, 0), row)


def _told(one: Surveyed, operations: int, *rows: str) -> str:
    """How much was checked of these kinds and features together, and the findings that have all of them."""
    if not operations:
        return "-"
    found = sorted(name for name, met in one.met.items() if set(rows) <= set(met))
    return f"{max(1, round(operations / 1000))} k: {', '.join(found) or 'safe'}"


def _reasons(survey: Survey) -> Iterator[str]:
    yield "## What could not be asked\n"
    yield "Configurations that were drawn and left out, by what the release lacks, or how its constructor refuses.\n"
    for one in reversed(survey.releases):
        reasons = {**one.lacking, **one.refused}
        told = sorted(reasons.items(), key=lambda reason: -reason[1])[:MOST_REASONS]
        listed = "; ".join(f"{' '.join(reason.split())[:90]} ({count})" for reason, count in told)
        yield f"- **{one.release}**: {listed or 'nothing'}"
    yield ""
