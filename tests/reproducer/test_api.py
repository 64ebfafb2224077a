"""A trace written in kvref's own API passes on the reference, and fails on a manager that shows something else."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from kvref.errors import UserError
from kvref.fuzz.cases import draw_case
from kvref.fuzz.shows_exact import Exact
from kvref.fuzz.shrink import shrink
from kvref.operations import Allocate, Configuration, Evict, FullGroup, NewRequest, Trace
from kvref.reproducer.api import api_reproducer
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession
from tests.command import Kvref
from tests.fuzz.test_shrink_exact import ENDLESS, Recorder, first_finding
from tests.optimized.faults import FAULTS
from tests.test_cli import STEPS, written

REFERENCE = "kvref.reference:KVCacheManager"
OPTIMIZED = "kvref.optimized:KVCacheManager"


def written_test(text: str) -> Callable[[], None]:
    """The test function in a file."""
    names: dict[str, Any] = {}
    exec(compile(text, "test_finding.py", "exec"), names)  # noqa: S102 - it is what was written
    (test,) = (one for name, one in names.items() if name.startswith("test_"))
    assert isinstance(test, FunctionType)
    return test


@pytest.mark.parametrize("manager", [REFERENCE, OPTIMIZED])
def test_what_was_drawn_passes_on_sound_managers(manager: str) -> None:
    for number in range(60):
        trace = draw_case(1, "mixed", number, 40, ReferenceSession, ()).trace
        written_test(api_reproducer(trace, ReferenceSession, manager))()


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != ENDLESS])
def test_a_fault_fails(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, faulty = FAULTS[fault]
    with monkeypatch.context() as broken:
        broken.setattr(place, name, faulty(getattr(place, name)))
        target = Recorder(OptimizedSession)
        finding = first_finding(target)
        small = shrink(finding.trace, Exact(ReferenceSession, target, finding.trace))
        assert small is not None
        test = written_test(api_reproducer(small.trace, ReferenceSession, OPTIMIZED))
        with pytest.raises((AssertionError, LookupError, ValueError)):
            test()
    test()
    written_test(api_reproducer(small.trace, ReferenceSession, REFERENCE))()


def test_a_callers_mistake_is_asserted() -> None:
    trace = Trace(Configuration((FullGroup(1),), 3, 4, 1, 1), (Evict((7,)),))
    text = api_reproducer(trace, ReferenceSession, REFERENCE)
    assert "with pytest.raises(UnknownBlockError):\n        manager.evict_blocks({7})" in text
    written_test(text)()


def test_a_refused_configuration_is_asserted() -> None:
    trace = Trace(Configuration((FullGroup(4),), 3, 8, 2, 2), ())
    text = api_reproducer(trace, ReferenceSession, REFERENCE)
    assert "with pytest.raises(ConfigurationError):\n        make_manager()" in text
    written_test(text)()


def test_calls_are_plain() -> None:
    trace = Trace(
        Configuration((FullGroup(2),), 5, 8, 2, 2),
        (NewRequest("a", (1, 2, 3)), *STEPS[1:2], Allocate("a", 0, 3)),
    )
    text = api_reproducer(trace, ReferenceSession, REFERENCE)
    assert 'a = make_request("a", [1, 2, 3])' in text
    assert "blocks = manager.allocate_slots(a, 3)\n    assert ids(blocks) == [[1, 2]]" in text


@pytest.mark.parametrize("manager", ["kvref.reference", "kvref.reference:", ":KVCacheManager"])
def test_a_manager_that_is_none_is_told(manager: str) -> None:
    with pytest.raises(UserError, match="names no class"):
        api_reproducer(Trace(Configuration((), 3, 8, 2, 2), ()), ReferenceSession, manager)


def test_the_command_writes_a_file_that_pytest_runs(kvref: Kvref, tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    arguments = ("reproducer", written(tmp_path / "t.json", *STEPS), "--api", "kvref", "--out", path)
    assert kvref(*arguments).code == 0
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout
