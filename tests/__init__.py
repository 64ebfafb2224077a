"""Tests. They mirror the tree: tests/spec tests spec, and so on."""
