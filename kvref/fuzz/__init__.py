"""Random cases, held against the reference."""
