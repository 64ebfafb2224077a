"""Which of our modules stands for which of vLLM's, and how they come into a process."""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from kvref.compat.vllm.backing import use
from kvref.errors import UserError

_OURS = "kvref.compat.vllm."

VIEWS = {
    "vllm.config": "config",
    "vllm.config.kv_events": "config",
    "vllm.distributed.kv_events": "kv_events",
    "vllm.lora.request": "lora",
    "vllm.multimodal.inputs": "multimodal",
    "vllm.sampling_params": "sampling_params",
    "vllm.utils.hashing": "hashing",
    "vllm.utils.mem_constants": "mem_constants",
    "vllm.v1.core.block_pool": "block_pool",
    "vllm.v1.core.kv_cache_coordinator": "kv_cache_coordinator",
    "vllm.v1.core.kv_cache_manager": "kv_cache_manager",
    "vllm.v1.core.kv_cache_metrics": "kv_cache_metrics",
    "vllm.v1.core.kv_cache_utils": "kv_cache_utils",
    "vllm.v1.core.single_type_kv_cache_manager": "single_type_kv_cache_manager",
    "vllm.v1.kv_cache_interface": "kv_cache_interface",
    "vllm.v1.metrics.stats": "stats",
    "vllm.v1.request": "request",
}


def install(manager: str = "reference") -> None:
    """Let vLLM's names lead to kvref's `manager`, in this process, from now on.

    Raises UserError for an unknown manager, and where vLLM itself was imported before.
    """
    present = sys.modules.get("vllm")
    if present is not None and not hasattr(present, "stands_for_kvref"):
        raise UserError("vLLM itself is imported in this process already: install the views before it")
    use(manager)
    for name, view in VIEWS.items():
        sys.modules[name] = importlib.import_module(_OURS + view)
    for name in VIEWS:
        _hang_in(name)
    if not any(isinstance(finder, _NothingElse) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NothingElse())


def _hang_in(name: str) -> None:
    """Make the packages above `name`, and let each know the one below it."""
    while "." in name:
        parent, _, own = name.rpartition(".")
        package = sys.modules.setdefault(parent, _package(parent))
        setattr(package, own, sys.modules[name])
        name = parent


def _package(name: str) -> ModuleType:
    package = ModuleType(name, "A package of vLLM's shape over kvref.")
    vars(package).update(__path__=[], stands_for_kvref=True)
    return package


class _NothingElse:
    """Tells which module is missing: without it, an installed vLLM would never be looked at, either."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse what lies in vLLM and has no view."""
        del path, target
        if name.startswith("vllm."):
            raise ModuleNotFoundError(
                f"{name} has no view over kvref; {len(VIEWS)} modules have: see kvref.compat.vllm.modules",
                name=name,
            )
        return None
