"""vLLM's own scheduler on a CPU, without weights: built, driven and recorded in vLLM's environment."""
