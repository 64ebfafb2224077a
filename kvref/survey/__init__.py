"""Level `safe` on every release of vLLM: what each one does wrong, since when, and until when."""
