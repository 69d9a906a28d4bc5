"""The ways to train the runs of a search, from the fastest to the one that serves any model."""
