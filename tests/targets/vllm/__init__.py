"""Tests of the target vLLM."""
