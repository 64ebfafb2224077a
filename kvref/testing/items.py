"""What `--kvref-target` adds to a pytest session: a test a share, each with examples of its own."""

import shlex
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import seed

from kvref.errors import UserError
from kvref.fuzz.report import write_json
from kvref.fuzz.safe import SafeTarget
from kvref.testing.aim import aim_at
from kvref.testing.checks import Level, needs
from kvref.testing.divergence import DivergenceError
from kvref.testing.machine import KVCacheMachine
from kvref.testing.profiles import PROFILES
from kvref.testing.run import run_machine


def shares_of(session: pytest.Session, config: pytest.Config) -> Iterator[pytest.Item]:
    """The tests. Raises UsageError, in one line, if the target or what its level needs cannot be had."""
    name, level = config.getoption("--kvref-target"), config.getoption("--kvref-level")
    try:
        target = aim_at(name)
        needs(level)
    except UserError as refused:
        raise pytest.UsageError(str(refused)) from refused
    config.add_cleanup(target.close)
    total = int(config.getoption("--kvref-shares"))
    parent = Shares.from_parent(session, name="kvref", nodeid="kvref")
    for number in range(1, total + 1):
        yield Share.from_parent(
            parent, name=f"{level}[{number}/{total}]", target=target, given=name, number=number
        )


class Shares(pytest.Collector):
    """Where the tests of a session belong."""

    def collect(self) -> list[pytest.Item]:
        """Nothing by itself."""
        return []


class Share(pytest.Item):
    """One share: a state machine whose seed is its number, where the profile does not ask for fresh ones."""

    def __init__(self, *, target: SafeTarget, given: str, number: int, **rest: Any) -> None:
        super().__init__(**rest)
        self._given: Final = given
        self._level: Final[Level] = self.config.getoption("--kvref-level")
        self._profile: Final = self.config.getoption("--kvref-profile")
        # Hypothesis keeps failures by the name of what failed.
        members: dict[str, object] = {"target": target, "level": self._level}
        machine = type(f"kvref_{given}_{self.name}", (KVCacheMachine,), members)
        self._machine: Final = seed(number)(machine) if self._profile == "ci" else machine
        self.add_marker(pytest.mark.kvref)

    def runtest(self) -> None:
        """Run the share."""
        run_machine(self._machine, PROFILES[self._profile])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong, and how to see it again."""
        found = excinfo.value
        if isinstance(found, UserError):
            return str(found)
        if not isinstance(found, DivergenceError):
            return super().repr_failure(excinfo, style)
        return f"{found}\n{self._how_to_replay(found)}"

    def reportinfo(self) -> tuple[Path, None, str]:
        """It has no file of its own."""
        return self.config.rootpath / "kvref", None, f"{self._given}: {self.name}"

    def _how_to_replay(self, found: DivergenceError) -> str:
        name = blake2b(msgspec.json.encode(found.trace), digest_size=6).hexdigest()
        path = self.config.getoption("--kvref-findings") / f"{self._level}-{name}.json"
        try:
            write_json(path, found.trace)
        except UserError as unwritten:
            return str(unwritten)
        level = f" --level {self._level}" if self._level != "exact" else ""
        return f"written to {path}; to see it again:\n  kvref replay {path} --target {shlex.quote(self._given)}{level}"
