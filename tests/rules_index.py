"""Reads and rewrites `spec/RULES.md`, the index of rule ids.

`python -m tests.rules_index` fills in where each rule is executable and which tests show it; the
statements are written by hand.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
INDEX = ROOT / "spec" / "RULES.md"
CODE = ("spec", "invariants", "kvref")
SHOWN, OUT_OF_SCOPE = "Shown by tests alone", "Out of scope"

_ID = r"([A-Z]+)-(\d+)"
_MENTION = re.compile(rf"\b{_ID}(?:\s+to\s+\1-(\d+))?")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_ROW = re.compile(rf"^\| ({_ID}) \|")
# Citations that harnesses make in passing; they count where nothing else cites a rule.
_HARNESS = (
    "kvref/compat/",
    "kvref/fuzz/",
    "kvref/targets/",
    "kvref/operations.py",
    "kvref/errors.py",
    "kvref/witness.py",
    "kvref/cli/",
    "kvref/explain/",
    "kvref/zoo/",
)


@dataclass(frozen=True)
class Rule:
    """A row of the index. `where` and `tests` are paths from the root."""

    id: str
    section: str
    statement: str
    where: tuple[str, ...]
    tests: tuple[str, ...]


def read_index(text: str) -> list[Rule]:
    rules, section = [], ""
    for line in text.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif _ROW.match(line):
            rule_id, statement, *columns = (cell.strip() for cell in line.strip("|").split("|"))
            paths = [tuple(re.findall(r"`([^`]+)`", column)) for column in columns]
            if section == SHOWN:
                paths.insert(0, ())
            where, tests = [*paths, (), ()][:2]
            rules.append(Rule(rule_id, section, statement, where, tests))
    return rules


def mentions(text: str, areas: set[str] | None = None) -> set[str]:
    """All rule ids in a text, those of `A-1 to A-3` included; only of `areas`, if given."""
    found = set()
    for area, first, last in _MENTION.findall(text):
        if areas is None or area in areas:
            found |= {f"{area}-{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def cited(text: str) -> set[str]:
    """The ids that code cites: in brackets, and those of the form Q-n anywhere."""
    return {rule for inner in _BRACKETS.findall(text) for rule in mentions(inner)} | mentions(text, {"Q"})


def texts(*folders: str) -> dict[str, str]:
    """The sources under these folders, by their path from the root."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def mirror(module: str) -> str:
    """The test file that tests this module: the test tree mirrors the others."""
    path = Path(module.removeprefix("kvref/"))
    return (Path("tests") / path.with_name(f"test_{path.name}")).as_posix()


def rewritten(text: str) -> str:
    """The index with its columns filled in from the sources."""
    code, tests = defaultdict(list), defaultdict(list)
    for path, source in texts(*CODE).items():
        for rule in cited(source):
            code[rule].append(path)
    for path, source in texts("tests").items():
        if Path(path).name.startswith("test_"):
            for rule in mentions(source):
                tests[rule].append(path)
    rules = {rule.id: rule for rule in read_index(text)}
    return "\n".join(_row(line, rules, code, tests) for line in text.splitlines()) + "\n"


def _row(line: str, rules: dict[str, Rule], code: dict[str, list[str]], tests: dict[str, list[str]]) -> str:
    row = _ROW.match(line)
    if row is None or rules[row[1]].section == OUT_OF_SCOPE:
        return line
    rule = rules[row[1]]
    where = [path for path in code[rule.id] if not path.startswith(_HARNESS)] or code[rule.id]
    shown = tests[rule.id] or [path for path in map(mirror, where) if (ROOT / path).exists()]
    columns = [_paths(shown)] if rule.section == SHOWN else [_paths(where), _paths(shown)]
    return f"| {' | '.join([rule.id, rule.statement, *columns])} |"


def _paths(paths: list[str]) -> str:
    return " ".join(f"`{path}`" for path in paths)


if __name__ == "__main__":
    INDEX.write_text(rewritten(INDEX.read_text(encoding="utf-8")), encoding="utf-8")
