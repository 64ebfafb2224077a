"""Recordings of a live manager: what one is made of, how it is written, read, replayed and followed."""
