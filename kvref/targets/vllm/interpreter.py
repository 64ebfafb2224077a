"""A process in an interpreter that has vLLM: of this one it sees this project's source, and nothing else.

Another release's packages may be laid over its own. The source is seen through a folder of links, since this interpreter's packages may lie beside it.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import invariants
import kvref
import spec
from kvref.errors import UserError


def started(
    python: Path, module: str, environment: Mapping[str, str], errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    """A module of ours at work there, over pipes. Raises UserError if the interpreter cannot be run."""
    try:
        return subprocess.Popen(  # noqa: S603 - the interpreter was chosen by the user
            [str(python), "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process, which ends the other one itself
        )
    except OSError as unable:
        raise UserError(f"{python} cannot be run ({unable.strerror}): name an interpreter") from unable


def variables(folder: Path, packages: Path | None = None) -> dict[str, str]:
    """Link the source into `folder`; the environment variables of a process that is to see it.

    It sees the `packages` of another release of vLLM before those of its interpreter.
    """
    link_source(folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VLLM"))}
    return kept | {
        "PYTHONPATH": str(folder) if packages is None else f"{folder}{os.pathsep}{packages}",
        "PYTHONHASHSEED": "0",
        "HF_HUB_OFFLINE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def link_source(folder: Path) -> None:
    """Link the source into `folder`."""
    for package in (kvref, spec, invariants):
        source = Path(str(package.__file__)).parent
        (folder / source.name).symlink_to(source)
