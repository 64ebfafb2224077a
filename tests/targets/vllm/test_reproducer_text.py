"""What a reproducer says, read without vLLM."""

from pathlib import Path

import msgspec
import pytest

from kvref.errors import UserError
from kvref.operations import Allocate
from kvref.replay import read_trace
from kvref.targets import vllm
from kvref.targets.vllm.reproducer import reproducer
from tests.command import Kvref

TRACES = Path(str(vllm.__file__)).parent / "traces"


def test_a_release_that_is_none_is_refused() -> None:
    trace = read_trace(TRACES / "Q-4.json")
    with pytest.raises(UserError, match="no release of vLLM"):
        reproducer(trace, "main")


def test_what_a_release_lacks_is_refused() -> None:
    trace = read_trace(TRACES / "Q-4.json")
    gated = (*trace.operations[:2], Allocate("a", 0, 1, must_fit=True))
    with pytest.raises(UserError, match=r"vLLM 0\.14\.1 has no full_sequence_must_fit"):
        reproducer(msgspec.structs.replace(trace, operations=gated), "0.14.1")


@pytest.mark.parametrize("release", ["0.11.2", "0.14.1", "0.22.1", "0.23.0", "0.26.0", "0.33.0"])
def test_the_file_is_python_for_every_release(release: str) -> None:
    text = reproducer(read_trace(TRACES / "Q-4.json"), release)
    compile(text, "reproducer", "exec")
    assert ("scheduler_block_size" in text) == (release >= "0.23")
    assert ("num_in_flight_tokens" in text) == (release >= "0.26")


def test_calls_are_literal() -> None:
    text = reproducer(read_trace(TRACES / "Q-4.json"), "0.23.0")
    assert 'a = make_request("a", [1, 2])' in text
    assert "blocks = manager.allocate_slots(a, 1, num_external_computed_tokens=1)" in text
    assert "kvref" not in text.replace("written by kvref", "")


def test_the_command_writes_the_file(kvref: Kvref, tmp_path: Path) -> None:
    told = kvref("reproducer", TRACES / "Q-4.json")
    written = kvref("reproducer", TRACES / "Q-4.json", "--out", tmp_path / "finding.py")
    assert (told.code, written.code, written.out) == (0, 0, "")
    assert (tmp_path / "finding.py").read_text() == told.out
    assert "no release of vLLM" in kvref("reproducer", TRACES / "Q-4.json", "--release", "main").refused
    assert "cannot be written" in kvref("reproducer", TRACES / "Q-4.json", "--out", tmp_path).refused
