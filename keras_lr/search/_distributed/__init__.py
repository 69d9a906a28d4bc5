"""A search in several processes: a chief that assigns work, and workers that train."""
