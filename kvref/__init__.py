"""kvref: the oracle for LLM KV cache managers."""
