"""A tiny hybrid transformer that decodes through a manager's block tables, held against itself without a cache."""
