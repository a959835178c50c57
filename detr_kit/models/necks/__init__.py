"""Feature maps to the levels of a transformer."""
