"""A zoo of named bugs: the optimized manager with one small fault each, to measure what finds them, and how soon."""
