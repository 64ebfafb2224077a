"""What stands behind block tables."""
