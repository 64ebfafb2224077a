"""What an interpreter that has vLLM sees of this one: this project's source, and nothing else.

Another release's packages may be laid over its own. The source is seen through a folder of links, since this interpreter's packages may lie beside it.
"""

import os
from pathlib import Path

import invariants
import kvref
import spec


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
