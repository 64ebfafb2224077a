"""What builds, sets up and measures; no part of the package."""
