"""A card arrives: what it is, whether it is still there, what is on it."""
