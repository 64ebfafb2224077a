"""Lets a wheel carry the compiled manager and the native taps: `KVREF_COMPILE=1 pip wheel --no-build-isolation .`.

Without the variable the wheel is pure, as ever. The compiler is that of the environment, which has mypy.
"""

import os
import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileHook(BuildHookInterface[Any]):
    """Runs `tools/compile.py` before the wheel is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extension modules, and mark the wheel as made for this interpreter."""
        if version != "standard" or os.environ.get("KVREF_COMPILE") != "1":
            return
        root = Path(self.root)
        tool = runpy.run_path(str(root / "tools" / "compile.py"))
        tool["compile_into"](root / "kvref" / "compiled")
        tool["compile_taps"](root / "kvref" / "record")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += ["kvref/compiled/*", "kvref/record/*.so"]
