"""The page for who writes a runner does what it says, without kvref: its code is run on our managers."""

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvref.errors import ConfigurationError
from kvref.operations import Allocate, Configuration, Free, FullGroup, Lookup, NewRequest, NewStep, Operation
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Opener, Session
from kvref.targets.reference import ReferenceSession
from kvref.vectors.form import Manifest, Step, Vector, VectorFile
from kvref.vectors.state import state_of
from tests.fuzz.faults import FAULTS, Fault
from tests.vectors.suites import COMMITTED, written

PAGE = (COMMITTED / "README.md").read_text()


@pytest.fixture(scope="module")
def runner() -> dict[str, Any]:
    """What the page's code defines."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        assert "kvref" not in block
        exec(block, names)  # noqa: S102
    return names


class Manager:
    """A session that speaks JSON, as the page asks of a manager."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def apply(self, operation: object) -> tuple[Any, Any]:
        returned = self._session.apply(msgspec.convert(operation, Operation, strict=True))
        state = {} if returned.error else state_of(self._session.view())
        return json.loads(msgspec.json.encode(returned)), json.loads(json.dumps(state))


def opens(opener: Opener) -> Callable[[object], Manager | None]:
    def open_manager(configuration: object) -> Manager | None:
        try:
            return Manager(opener(msgspec.convert(configuration, Configuration)))
        except ConfigurationError:
            return None

    return open_manager


@pytest.mark.parametrize("opener", [ReferenceSession, OptimizedSession])
def test_the_pages_runner_agrees_with_our_managers(runner: dict[str, Any], opener: Opener) -> None:
    vectors = list(runner["vectors"](COMMITTED))
    assert len(vectors) > 100
    assert {vector["name"]: runner["first_difference"](vector, opens(opener)) for vector in vectors} == {
        vector["name"]: None for vector in vectors
    }


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))
def test_the_pages_runner_finds_every_fault(runner: dict[str, Any], fault: type[Fault]) -> None:
    found = [runner["first_difference"](vector, opens(fault)) for vector in runner["vectors"](COMMITTED)]
    assert any(found)


def test_the_pages_runner_refuses_other_files(runner: dict[str, Any], tmp_path: Path) -> None:
    (written(tmp_path) / "full.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"full\.json is not what the manifest names"):
        list(runner["vectors"](tmp_path))


def test_the_pages_keys_are_the_managers(runner: dict[str, Any]) -> None:
    tokens = tuple(range(40, 53))
    session = ReferenceSession(Configuration((FullGroup(2), FullGroup(4)), 20, 64, 4, 2, hash_seed="7"))
    admission = (NewRequest("r", tokens), NewStep(), Lookup("r"), Allocate("r", 0, 13, hit=0))
    for operation in admission:
        assert session.apply(operation).error is None
    view = session.view()
    shown = [
        {place: key.hex() for place, block in enumerate(row) if (key := view.keys[block]) is not None}
        for row in view.tables["r"]
    ]
    due = [
        {place: runner["key_of"](tokens, "7", 2, size, place, group) for place in shown[group]}
        for group, size in enumerate((2, 4))
    ]
    assert shown == due
    assert [len(keys) for keys in due] == [6, 3]


def test_the_page_names_every_part() -> None:
    cells = {
        name
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    state = state_of(ReferenceSession(Configuration((FullGroup(4),), 9, 64, 4, 4)).view())
    fields = {*state, *Vector.__struct_fields__, *Step.__struct_fields__} - {
        "operation",
        "returned",
        "changed",
    }
    assert fields <= cells
    for name in ("operation", "returned", "changed", "schema.json", "manifest.json"):
        assert name in PAGE
    for operation in (Free, NewStep):
        assert operation.__name__ in (COMMITTED / "schema.json").read_text()


def test_the_manifest_says_how_the_suite_is_made() -> None:
    manifest = msgspec.json.decode((COMMITTED / "manifest.json").read_bytes(), type=Manifest)
    assert f"kvref vectors generate --seed {manifest.seed} --cases {manifest.cases} --out vectors" in PAGE
    for entry in manifest.files:
        raw = (COMMITTED / entry.path).read_bytes()
        assert entry.sha256 == sha256(raw).hexdigest()
        if entry.vectors:
            assert len(msgspec.json.decode(raw, type=VectorFile).vectors) == entry.vectors
