"""The tiny transformer on every manager, and on managers that lie."""
