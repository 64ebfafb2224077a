"""Tells what a campaign has run of vLLM's core files: how much of what can be reached, and what is missed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvref.targets.vllm.line_coverage import FileCoverage
from kvref.targets.vllm.unreached import UNREACHED, UNTAKEN, Unreached, Untaken


@dataclass(frozen=True)
class Reached:
    """One file, or all. Counts are of lines with a statement, and of branches."""

    name: str
    statements: int
    reachable: int
    reached: int
    branches: int
    taken: int

    @property
    def share(self) -> float:
        """The share of the reachable lines that were reached."""
        return self.reached / self.reachable if self.reachable else 1.0


@dataclass(frozen=True)
class Missed:
    """Lines of one function that were not run, and why."""

    file: str
    function: str
    lines: tuple[int, ...]
    reason: str


CHANCE = "reachable; this run did not come by"


def reached_in(file: FileCoverage, known: Sequence[Unreached] = UNREACHED) -> Reached:
    """How much of one file was run."""
    never = {line for one in known if one.file == file.name and not one.legal for line in one.lines}
    reachable = set(file.statements) - never
    return Reached(
        file.name,
        len(file.statements),
        len(reachable),
        len(reachable - set(file.missed)),
        file.branches,
        file.branches - len(file.missed_branches),
    )


def together(files: Sequence[Reached]) -> Reached:
    """All files as one."""
    return Reached(
        "all",
        sum(file.statements for file in files),
        sum(file.reachable for file in files),
        sum(file.reached for file in files),
        sum(file.branches for file in files),
        sum(file.taken for file in files),
    )


def missed_in(file: FileCoverage, known: Sequence[Unreached] = UNREACHED) -> Iterator[Missed]:
    """What was not run in one file, with its reasons."""
    missed = set(file.missed)
    for one in known:
        lines = tuple(line for line in one.lines if line in missed)
        if one.file == file.name and lines:
            yield Missed(file.name, one.function, lines, one.reason)
            missed -= set(lines)
    by_function: dict[str, list[int]] = {}
    for line in sorted(missed):
        by_function.setdefault(file.functions.get(line, "module"), []).append(line)
    for function, rest in by_function.items():
        yield Missed(file.name, function, tuple(rest), CHANCE)


def untaken_in(file: FileCoverage, known: Sequence[Untaken] = UNTAKEN) -> Iterator[Untaken]:
    """The branches of one file that were not taken though both their ends were run, with their reasons."""
    reasons = {(one.start, one.end): one.reason for one in known if one.file == file.name}
    for start, end in file.missed_branches:
        if start not in file.missed and end not in file.missed:
            function = file.functions.get(start, "module")
            yield Untaken(file.name, function, start, end, reasons.get((start, end), CHANCE))


def mistakes(
    files: Sequence[FileCoverage],
    known: Sequence[Unreached] = UNREACHED,
    branches: Sequence[Untaken] = UNTAKEN,
) -> list[str]:
    """Entries of the tables that do not hold: a line or branch that was run, is none, or is elsewhere."""
    found = []
    by_name = {file.name: file for file in files}
    for one in known:
        file = by_name[one.file]
        for line in one.lines:
            if line not in file.statements:
                found.append(f"{one.file} line {line} has no statement")
            elif file.functions.get(line) != one.function:
                found.append(
                    f"{one.file} line {line} is in {file.functions.get(line)}, not in {one.function}"
                )
            elif line not in file.missed:
                found.append(f"{one.file} line {line} in {one.function} was run, although: {one.reason}")
    for branch in branches:
        file = by_name[branch.file]
        named = f"{branch.file} branch {branch.start} to {branch.end}"
        if file.functions.get(branch.start) != branch.function:
            found.append(f"{named} is in {file.functions.get(branch.start)}, not in {branch.function}")
        elif (branch.start, branch.end) not in file.missed_branches:
            found.append(f"{named} was taken or is none, although: {branch.reason}")
    return found


def page(files: Sequence[FileCoverage], command: str, cases: int) -> str:
    """The page: Markdown."""
    reached = [reached_in(file) for file in files]
    lines = [
        "# What fuzzing runs of vLLM 0.23.0",
        "",
        f"Written by `{command}`: {cases} cases. A line is reachable if a legal caller can come to it.",
        "",
        "| file | lines | reachable | reached | share | branches | taken |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {one.name} | {one.statements} | {one.reachable} | {one.reached} | {one.share:.1%} "
            f"| {one.branches} | {one.taken} |"
            for one in (*reached, together(reached))
        ),
        "",
        "Not reached:",
        "",
        "| file | function | lines | why |",
        "| --- | --- | --- | --- |",
        *(
            f"| {one.file} | `{one.function}` | {', '.join(map(str, one.lines))} | {one.reason} |"
            for file in files
            for one in missed_in(file)
        ),
        "",
        "Not taken, beside the branches from and to those lines:",
        "",
        "| file | function | branch | why |",
        "| --- | --- | --- | --- |",
        *(
            f"| {one.file} | `{one.function}` | {one.start} to {one.end} | {one.reason} |"
            for file in files
            for one in untaken_in(file)
        ),
    ]
    return "\n".join(lines) + "\n"
