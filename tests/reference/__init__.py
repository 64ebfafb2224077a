"""Tests of the reference manager through its public API."""
