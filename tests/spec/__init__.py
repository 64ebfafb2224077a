"""Tests of `spec`: the definitions against worked examples and brute force."""
