import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvref.targets.vllm.target import VllmTarget
from tests.targets.vllm.fakes import HELLO, PATIENCE, PREAMBLE, SOON, Fake, Open


@pytest.fixture
def pid(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def fake(tmp_path: Path, pid: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Makes an interpreter that does what it is told instead of running the worker."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))

    def write(body: str) -> Path:
        program = tmp_path / "worker.py"
        program.write_text(PREAMBLE.format(pid=str(pid)) + body)
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\n"{sys.executable}" "{program}"\n')
        python.chmod(0o755)
        return python

    return write


@pytest.fixture
def opened(fake: Fake) -> Iterator[Open]:
    targets: list[VllmTarget] = []

    def start(body: str) -> VllmTarget:
        targets.append(VllmTarget(fake(HELLO + body), start_seconds=SOON, answer_seconds=PATIENCE))
        return targets[-1]

    yield start
    for target in targets:
        target.close()
