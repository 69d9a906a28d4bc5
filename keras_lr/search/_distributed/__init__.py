"""A search over several processes."""
