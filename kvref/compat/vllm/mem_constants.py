"""Sizes of memory, in bytes."""

MiB_bytes = 1 << 20
GiB_bytes = 1 << 30
