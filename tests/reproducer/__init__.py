"""Tests of what writes traces as Python tests."""
