"""What touches a live model: its state, its data, and the in-graph sweep."""
