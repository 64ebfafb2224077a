"""Conformance vectors: short traces with what must be seen after each operation, for a manager in any language.

`vectors/README.md` is the page for who writes a runner.
"""
