"""Lets an interpreter that has vLLM see this project and its plugin, for as long as a command runs.

The interpreter's own packages stay as they are: a folder in front of them links the source, and holds the
metadata by which vLLM finds plugins. What the recorder imports beside it, vLLM asks for itself.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kvref.targets.vllm.interpreter import link_source

PLUGIN: Final = "kvref"
ALLOWED: Final = "VLLM_PLUGINS"

_METADATA: Final = "Metadata-Version: 2.1\nName: kvref-plugin\nVersion: 0\n"
_ENTRY_POINTS: Final = f"[vllm.general_plugins]\n{PLUGIN} = kvref.targets.vllm.plugin:register\n"


def with_plugin(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process in which vLLM finds the plugin, by what is put into `folder`."""
    link_source(folder)
    metadata = folder / "kvref_plugin-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(_METADATA, encoding="utf-8")
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS, encoding="utf-8")
    found = [str(folder), *filter(None, [variables.get("PYTHONPATH")])]
    changed = {**variables, "PYTHONPATH": os.pathsep.join(found)}
    allowed = variables.get(ALLOWED)
    if allowed is not None and PLUGIN not in allowed.split(","):
        changed[ALLOWED] = ",".join([*filter(None, [allowed]), PLUGIN])
    return changed
