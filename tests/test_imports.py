"""Who may know whom, and what an import costs."""

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_ERROR, EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "vllm", "numpy")

BROKEN = """
[tool.importlinter]
root_packages = ["kvref", "spec", "invariants"]

[[tool.importlinter.contracts]]
name = "the reference may not know spec"
type = "forbidden"
source_modules = ["kvref.reference"]
forbidden_modules = ["spec"]
"""


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("at_root")
def test_the_contracts_between_the_rooms_are_kept() -> None:
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == EXIT_STATUS_SUCCESS


@pytest.mark.usefixtures("at_root")
def test_a_contract_that_is_broken_is_noticed(tmp_path: Path) -> None:
    config = tmp_path / "pyproject.toml"
    config.write_text(BROKEN)
    assert lint_imports(config_filename=str(config), no_cache=True) == EXIT_STATUS_ERROR


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh process has imported after `code`."""
    probe = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('!', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)  # noqa: S603
    modules = done.stdout.rpartition("!")[2].split()
    assert "kvref" in modules
    return {name.partition(".")[0] for name in modules} & set(HEAVY)


@pytest.mark.parametrize(
    "code",
    [
        "import kvref",
        "import kvref.reference, kvref.fuzz.campaign, kvref.replay, kvref.witness",
        "import kvref.dataplane",
        "import kvref.targets.vllm.target",
        "sys.argv = ['kvref', '--help']; from kvref.cli import main; main()",
        "sys.argv = ['kvref', 'targets']; from kvref.cli import main; main()",
        "sys.argv = ['kvref', 'demo', '--requests', '0']; from kvref.cli import main; main()",
    ],
)
def test_neither_torch_nor_vllm_is_paid_for(code: str) -> None:
    assert loaded_by(code) == set()
