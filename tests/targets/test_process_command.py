"""Drivers on the command line: exit code 0 all well, 1 a finding, 2 bad input told in one line."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from kvref.operations import trace_schema
from kvref.targets.process_messages import driver_schema
from tests.targets.exchange import DICTIONARY, REFERENCE


def kvref(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kvref.cli", *arguments]
    where = ["--findings", str(folder)] if arguments[0] == "fuzz" else []
    return subprocess.run([*command, *where], capture_output=True, text=True, check=False)  # noqa: S603


def refused(ended: "subprocess.CompletedProcess[str]") -> str:
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize("level", ["exact", "hits", "safe"])
def test_a_driver_without_fault_ends_well_at_every_level(tmp_path: Path, level: str) -> None:
    ended = kvref(tmp_path, "fuzz", "--target-cmd", REFERENCE, "--level", level, "--cases", "10")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("reference driver")
    assert ended.stdout.endswith("0 findings\n")
    assert list(tmp_path.iterdir()) == []


def test_a_finding_tells_how_to_replay_it_and_is_shown_again(tmp_path: Path) -> None:
    told = kvref(tmp_path, "fuzz", "--target-cmd", DICTIONARY, "--level", "hits", "--cases", "20")
    assert told.returncode == 1
    assert "gives up: the next" in told.stdout
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("replay ")][:1]
    _, program, *words = shlex.split(line)
    assert program == "kvref"
    again = kvref(tmp_path, *words)
    assert again.returncode == 1
    assert "gives up: the next" in again.stdout


def test_a_trace_is_replayed_on_a_driver_at_level_exact(tmp_path: Path) -> None:
    asked = f"{REFERENCE} FreesInReverse"
    told = kvref(tmp_path, "fuzz", "--target-cmd", asked, "--cases", "3")
    assert told.returncode == 1
    trace = next(tmp_path.iterdir())
    again = kvref(tmp_path, "replay", str(trace), "--target-cmd", asked)
    assert again.returncode == 1
    assert "free queue" in again.stdout
    assert kvref(tmp_path, "replay", str(trace), "--target-cmd", REFERENCE).returncode == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target-cmd", "./nothing"], "'./nothing' cannot be run (No such file or directory)"),
        (["--target-cmd", DICTIONARY], "dictionary offers level hits, not exact: use --level hits"),
        (["--target-cmd", DICTIONARY, "--level", "invariants"], "use --level safe --witnessed 1"),
        (["--target-cmd", DICTIONARY, "--python", "python"], "--python is for targets by name"),
        (["--target-cmd", DICTIONARY, "--timeout", "0"], "--timeout 0.0 is not positive"),
        (["--target-cmd", "true"], "ended by itself (exit status 0)"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(tmp_path: Path, options: list[str], words: str) -> None:
    assert words in refused(kvref(tmp_path, "fuzz", *options))


def test_the_schema_of_the_protocol_is_printed(tmp_path: Path) -> None:
    for options, due in (([], trace_schema()), (["--of", "driver"], driver_schema())):
        told = kvref(tmp_path, "schema", *options).stdout
        assert json.loads(told) == json.loads(msgspec.json.encode(due))
