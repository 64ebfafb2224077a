"""Everything that a machine has checked of kvref, in one table: `python -m tools.prove`."""
