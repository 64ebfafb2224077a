"""The benchmark: the same workloads through the reference, the optimized manager and the real vLLM."""
