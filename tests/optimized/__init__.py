"""The optimized manager, in both of its forms, held against the reference."""
