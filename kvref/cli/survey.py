"""`kvref survey`: every release of vLLM."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kvref.cli.common import DIVERGED, needing_torch, require_positive, tell


def survey(
    *,
    release: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    operations: int = 100_000,
    seed: int = 1,
    data: Path = Path("docs/survey.json"),
    out: Path = Path("docs/survey.md"),
    reproducers: Path = Path("reproducers/managers"),
    again: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Play every release of vLLM at level safe, and write a page of what each does wrong.

    Exit code 1 if there is a finding that the catalogue does not know.

    Parameters
    ----------
    release
        A release to survey; may be given several times. The newest of each minor release since 0.11, if
        none is given.
    operations
        So many operations at least on each release.
    seed
        All cases follow from it.
    data
        Where results are kept; releases that are there, with as many operations and this seed, are not
        surveyed again.
    out
        The page.
    reproducers
        The folder for a Python file a finding, in vLLM's own classes.
    again
        Survey all releases again.
    """
    require_positive(operations, "--operations")
    with needing_torch("survey"):
        from kvref.survey import releases as surveys  # noqa: PLC0415
    found = surveys.survey(release or surveys.RELEASES, operations, seed, data, again=again, tell=tell)
    written = surveys.write_reproducers(found, reproducers)
    surveys.write_page(found, out)
    tell(f"{out}: {len(found.releases)} releases; {reproducers}: {len(written)} files")
    return DIVERGED if any(one.unknown for one in found.releases) else 0
