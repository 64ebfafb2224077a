"""Runs reproducers/ on releases of vLLM: `python -m tools.run_reproducers [--release X ...]`.

Prints what each comes to, and with --json writes it down, over what was known; --new runs only what is not known.
`--table` runs nothing: it makes the tables in reproducers/README.md from docs/reproducers.json.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kvref.targets.vllm.overlay import interpreter_for

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "reproducers"
PAGE = FOLDER / "README.md"
MEASURED = ROOT / "docs" / "reproducers.json"
RELEASES = (
    "0.20.2", "0.21.0", "0.22.1", "0.23.0", "0.24.0", "0.25.1", "0.26.0", "0.27.1", "0.28.0", "0.29.0", "0.30.0",
    "0.31.0", "0.32.0", "0.33.0",
)  # fmt: skip
"""The newest patch of each minor release."""

PATIENCE_SECONDS = 300
UPSTREAM = "https://github.com/vllm-project/"


@dataclass(frozen=True)
class Ended:
    """How a reproducer ended."""

    code: int
    output: str

    @property
    def wrong(self) -> list[str]:
        """The lines that tell of a wrong read."""
        return [line for line in self.output.splitlines() if line.startswith("WRONG")]

    @property
    def outcome(self) -> str:
        """In a word, or in a few."""
        if self.code == 1 and self.wrong:
            return "fault"
        if self.code == 0:
            return "sound"
        lines = self.output.split("CANNOT RUN: ", 1)[-1].strip().splitlines() or ["no reason given"]
        return f"cannot run: {lines[0] if 'CANNOT RUN: ' in self.output else lines[-1]}"


def scripts() -> list[str]:
    """The names of the reproducers."""
    return sorted(path.name for path in FOLDER.glob("[pq][0-9]*.py"))


def run(script: str, release: str) -> Ended:
    """Run one on a release."""
    python, packages = interpreter_for(release, progress=lambda line: print(line, file=sys.stderr))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if packages is not None:
        environment["PYTHONPATH"] = str(packages)
    try:
        done = subprocess.run(
            [python, FOLDER / script],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=PATIENCE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Ended(-1, f"no end within {PATIENCE_SECONDS} s")
    return Ended(done.returncode, done.stdout)


def order(release: str) -> list[int]:
    """Releases by age."""
    return [int(part) for part in release.split(".")]


def lasting(row: dict[str, str]) -> str:
    """Since when a fault is there, and from when not, as far as it was measured."""
    faults = sorted((release for release, outcome in row.items() if outcome == "fault"), key=order)
    later = [release for release in row if faults and order(release) > order(faults[-1])]
    sound = sorted((release for release in later if row[release] == "sound"), key=order)
    if not faults:
        return "never seen"
    return f"{faults[0]} to {faults[-1]}; " + (f"sound from {sound[0]}" if sound else "not fixed")


def story(script: str) -> tuple[str, str, str]:
    """A reproducer's id, what goes wrong in it, and what is known of it upstream."""
    text = (FOLDER / script).read_text(encoding="utf-8")
    head = re.match(r'"""((?:PROTO|Q)-\d+): (.+)\.\n', text)
    upstream = re.search(r"^# Upstream: (.+)\.$", text, re.MULTILINE)
    if head is None or upstream is None:
        raise ValueError(f"{script} does not say what it is")
    return head[1], head[2], re.sub(r"([\w-]*)#(\d+)", _link, upstream[1])


def _link(found: re.Match[str]) -> str:
    return f"[{found[0]}]({UPSTREAM}{found[1] or 'vllm'}/issues/{found[2]})"


def summary(results: dict[str, Any]) -> str:
    """The table of stories."""
    lines = ["| id | what goes wrong | since / fixed | upstream | file |", "| --- | --- | --- | --- | --- |"]
    for script, row in results["outcomes"].items():
        rule, what, upstream = story(script)
        lines.append(f"| {rule} | {what} | {lasting(row)} | {upstream} | [`{script}`]({script}) |")
    return "\n".join(lines)


def releases(results: dict[str, Any]) -> str:
    """The table of releases: what each was seen to do, and why some cannot run a story."""
    outcomes: dict[str, dict[str, str]] = results["outcomes"]
    columns = sorted({release for row in outcomes.values() for release in row}, key=order)
    lines = [f"| release | {' | '.join(Path(script).stem.replace('_', ' ') for script in outcomes)} |"]
    lines.append("| --- " * (len(outcomes) + 1) + "|")
    reasons: dict[str, list[str]] = {}
    for release in columns:
        cells = []
        for row in outcomes.values():
            word, _, reason = row.get(release, "-").partition(": ")
            cells.append({"fault": "**fault**", "sound": "sound"}.get(word, "-"))
            if reason:
                reasons.setdefault(reason, []).append(release)
        lines.append(f"| {release} | {' | '.join(cells)} |")
    lines += ["", f"Last measured on {results['date']} by `{results['command']}`."]
    if reasons:
        lines += ["", "A dash: it cannot run there.", ""]
        lines += [f"- {', '.join(dict.fromkeys(found))}: {reason}" for reason, found in reasons.items()]
    return "\n".join(lines)


def with_tables(page: str, results: dict[str, Any]) -> str:
    """The page with what stands between its markers made anew."""
    for name, table in (("stories", summary(results)), ("releases", releases(results))):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return page


def main() -> None:
    """Run them all, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--release", action="append", choices=RELEASES, help="only this one; may be repeated")
    parser.add_argument("--new", action="store_true", help="only what is not known yet")
    parser.add_argument("--json", type=Path, help="where to write the outcomes")
    parser.add_argument(
        "--table", action="store_true", help="only make the tables from what was written down"
    )
    given = parser.parse_args()
    if given.table:
        results = json.loads(MEASURED.read_text(encoding="utf-8"))
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
        return
    known: dict[str, dict[str, str]] = json.loads(MEASURED.read_text(encoding="utf-8"))["outcomes"]
    outcomes = {script: dict(known.get(script, {})) for script in scripts()}
    for release in given.release or RELEASES:
        for script, row in outcomes.items():
            if given.new and release in row:
                continue
            row[release] = outcome = run(script, release).outcome
            print(f"{release:8} {script:40} {outcome}", flush=True)
    if given.json:
        command = shlex.join(["python", "-m", "tools.run_reproducers", *sys.argv[1:]])
        today = datetime.now(tz=UTC).date().isoformat()
        aged = {
            script: {release: row[release] for release in sorted(row, key=order)}
            for script, row in outcomes.items()
        }
        results = {"command": command, "date": today, "outcomes": aged}
        given.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
