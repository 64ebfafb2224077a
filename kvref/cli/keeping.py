"""What becomes of findings: the first ones are shrunk, told, and get a page; the traces of all are kept."""

from dataclasses import dataclass
from pathlib import Path

from kvref.cli import shrink as shrinking
from kvref.cli.common import console
from kvref.cli.explain import page_beside
from kvref.errors import UserError
from kvref.fuzz.report import tell_finding, write_json, write_trace
from kvref.fuzz.settings import Level
from kvref.fuzz.shrink import BUDGET, Shrunk
from kvref.judge import Finding
from kvref.targets.base import Target
from kvref.targets.named import Named
from kvref.targets.process_link import FAULT

SHOWN_FINDINGS = 3


@dataclass(frozen=True)
class Keeping:
    """How findings on a target are kept in `folder`, and told as those of `named`, held to `against`."""

    folder: Path
    named: Named
    level: Level
    against: str

    def keep(
        self, found: list[Finding], small: list[Shrunk | None], alive: Target | None
    ) -> UserError | None:
        """Write the traces and tell the first ones, even if they cannot be written: then why is returned.

        Those that are told get a page beside their trace, while the target is `alive`.
        """
        unwritten = None
        for number, finding in enumerate(found):
            try:
                whole = write_trace(self.folder, finding.trace)
            except UserError as failure:
                whole, unwritten = None, failure
            if number < SHOWN_FINDINGS:
                one = small[number] if number < len(small) else None
                unwritten = self._tell(finding, one, whole, alive) or unwritten
        return unwritten

    def _tell(
        self, finding: Finding, small: Shrunk | None, whole: Path | None, alive: Target | None
    ) -> UserError | None:
        told = finding if small is None else shrinking.finding_of(small)
        path, page, unwritten = whole, None, None
        try:
            if small is not None and whole is not None:
                path = shrinking.small_path(whole)
                write_json(path, small.trace)
            if path is not None and alive is not None and self.against == "reference":
                page = page_beside(path, told.trace, alive, self.level)
        except UserError as failure:
            unwritten = failure
        target = alive.name if alive is not None else self.named.command or self.named.name
        tell_finding(
            console,
            told,
            target,
            path,
            page,
            named=self.named.options,
            level=self.level,
            against=self.against,
        )
        if small is not None and whole is not None and path is not None:
            shrinking.tell_more(finding.trace, small, self.named, whole, path, self.level)
        return unwritten


def shrunk(found: list[Finding], target: Target, level: Level) -> list[Shrunk | None]:
    """The smallest forms of the findings that are told; Ctrl-C, or a target that is given up, ends it."""
    small: list[Shrunk | None] = []
    for finding in found[:SHOWN_FINDINGS]:
        if _is_fault(finding):
            small.append(None)
            continue
        try:
            one = shrinking.shrunk(finding.trace, target, level, BUDGET)
        except (KeyboardInterrupt, UserError):
            break
        small.append(one)
        if one is not None and one.ending == "interrupt":
            break
    return small


def _is_fault(finding: Finding) -> bool:
    """Whether a driver gave no answer: each attempt to shrink that would cost a timeout, or a driver."""
    return finding.differences[0].what == FAULT
