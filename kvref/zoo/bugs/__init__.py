"""One module a chapter."""
