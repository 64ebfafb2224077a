"""What must always hold: predicates over the frozen picture that any manager can give of itself."""
