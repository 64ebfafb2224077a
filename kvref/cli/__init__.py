"""The command `kvref`: a module a subcommand. Exit codes: 0 all well, 1 a divergence, 2 bad input."""

from kvref.cli.main import app, main

__all__ = ["app", "main"]
