"""Every small state: all that a legal scheduler can do to two managers within a scope, breadth-first."""
