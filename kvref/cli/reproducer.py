"""`kvref reproducer`: a trace as a Python file."""

import sys
from pathlib import Path
from typing import Literal

from kvref.cli.loading import load
from kvref.errors import UserError
from kvref.operations import Trace
from kvref.reproducer.api import api_reproducer
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.reproducer import reproducer as safe_reproducer
from kvref.targets.vllm.reproducer_exact import exact_reproducer


def reproducer(
    trace: Path,
    *,
    api: Literal["kvref", "vllm"] = "vllm",
    level: Literal["exact", "safe"] = "safe",
    release: str = "0.23.0",
    manager: str = "kvref.reference:KVCacheManager",
    out: Path | None = None,
) -> int:
    """Write a trace as a Python file that shows what is wrong: as a test, or for an issue of vLLM.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it, or a recording, as `kvref record` does.
    api
        `vllm` uses vLLM alone, as for an issue; `kvref` is a pytest file that drives a manager class with
        our API, and asserts what the reference shows at the end.
    level
        With vLLM's API, `safe` keeps data behind the block ids and tells which read goes wrong; `exact`
        asserts what the reference shows at the end.
    release
        The release of vLLM whose API the file uses.
    manager
        The class that the pytest file drives, as module:Class.
    out
        The file to write; standard output, if it is not given.
    """
    loaded = load(trace)
    text = _text(loaded, api, level, release, manager, out)
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        out.write_text(text)
    except OSError as failure:
        raise UserError(f"{out} cannot be written ({failure.strerror}): choose another place") from failure
    return 0


def _text(trace: Trace, api: str, level: str, release: str, manager: str, out: Path | None) -> str:
    if api == "kvref":
        file = out.name if out is not None else "test_finding.py"
        return api_reproducer(trace, ReferenceSession, manager, file)
    if level == "exact":
        return exact_reproducer(trace, ReferenceSession, release)
    return safe_reproducer(trace, release)
