"""kvref's managers behind other engines' names."""
