"""Tests of the benchmark: shapes, seeds and answers; never times."""
