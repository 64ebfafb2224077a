"""Data behind the block ids: what a worker writes and reads through a manager's tables."""
