"""The module tree of vLLM 0.23.0's KV cache manager, as thin views over a kvref manager.

vLLM's own test files, and harnesses written against its names, run on our managers in a process
that calls `install`, or under `python -m kvref.compat.vllm`. vLLM itself is neither needed nor
imported. A view has no logic and no state of its own: reading asks the manager, writing tells it.
"""

from kvref.compat.vllm.modules import install

__all__ = ["install"]
