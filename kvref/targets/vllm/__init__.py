"""The real vLLM, in an interpreter of its own."""
