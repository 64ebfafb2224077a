"""Tests of the fuzzer: what it draws, what it finds, and that it finds the same again."""
