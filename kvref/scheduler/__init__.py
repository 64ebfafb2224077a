"""What the real scheduler does to its KV cache manager: recordings, and what of them is legal."""
