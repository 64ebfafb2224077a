"""Writes traces as Python tests: plain calls of a manager, and what a right one shows at the end."""
