"""`kvref reproducer`: a trace as a file in vLLM's own classes."""

import sys
from pathlib import Path

from kvref.errors import UserError
from kvref.replay import read_trace
from kvref.targets.vllm.reproducer import reproducer as reproducer_of


def reproducer(trace: Path, *, release: str = "0.23.0", out: Path | None = None) -> int:
    """Write a trace as a Python file that shows its fault with vLLM alone, as for an issue.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz --level safe` writes it.
    release
        The release of vLLM whose API the file uses.
    out
        The file to write; standard output, if it is not given.
    """
    text = reproducer_of(read_trace(trace), release)
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        out.write_text(text)
    except OSError as failure:
        raise UserError(f"{out} cannot be written ({failure.strerror}): choose another place") from failure
    return 0
