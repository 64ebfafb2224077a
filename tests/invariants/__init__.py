"""Tests of the invariants: each finds its corruption, and a sound manager breaks none."""
