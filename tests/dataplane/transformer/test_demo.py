"""`kvref demo`: what it prints, and how it ends."""

import re
import sys
from collections.abc import Callable

import pytest

from kvref import cli
from kvref.bench import implementations
from kvref.cli.common import DIVERGED
from kvref.dataplane.transformer import demo
from tests.dataplane.transformer import lies

Ran = tuple[object, str, str]
SMALL = ("--quick", "--requests", 5)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["kvref", "demo", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def without_speeds(out: str) -> list[str]:
    return [line for line in out.splitlines() if "a second" not in line]


def test_it_tells_what_it_saw_and_the_same_again(run: Callable[..., Ran]) -> None:
    code, out, err = run(*SMALL, "--seed", 4)
    assert (code, err) == (0, "")
    assert out.startswith("Seed 4: 5 requests through the optimized manager, on cpu.")
    assert re.search(r"Hit rate \d+\.\d%: [1-9]\d* blocks were shared", out)
    assert re.search(r"output tokens a second +(│ +\d+ ){3}", out)
    assert re.search(r"All tokens are those .* logits is \d\.\de-1\d", out)
    assert without_speeds(run(*SMALL, "--seed", 4)[1]) == without_speeds(out)


def test_the_managers_agree_to_the_last_digit(run: Callable[..., Ran]) -> None:
    outs = [run(*SMALL, "--target", name)[1].replace(name, "") for name in ("optimized", "reference")]
    assert without_speeds(outs[0]) == without_speeds(outs[1])


def test_a_difference_ends_in_exit_code_1(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvref.reference.KVCacheManager", lies.SwapsEntries)
    code, out, _ = run(*SMALL, "--target", "reference")
    assert code == DIVERGED
    assert "logits is" in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--requests", "0"], "kvref: --requests 0 is not positive: give at least 1"),
        (["--device", "abacus"], "kvref: --device abacus cannot be used: "),
        (["--device", "meta"], "kvref: --device meta cannot be used: "),
        (
            ["--target", "vllm==0.23.0"],
            "kvref: the demo drives a manager in this process, not 'vllm==0.23.0': ",
        ),
    ],
)
def test_bad_input_takes_one_line(run: Callable[..., Ran], arguments: list[str], line: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_a_manager_that_is_not_built_is_told(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = {"compiled": implementations.NOT_BUILT}
    monkeypatch.setattr(demo, "own_implementations", lambda: ([], absent))
    assert run("--target", "compiled") == (
        2,
        "",
        "kvref: the manager compiled is not built: run make compile\n",
    )


def test_without_torch_the_line_says_what_to_install(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("kvref.dataplane.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("kvref.dataplane.transformer")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run() == (2, "", "kvref: demo needs torch: pip install 'kvref[dataplane]'\n")
