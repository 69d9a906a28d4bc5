"""The engines that train the runs of a search, from the fastest to the one that trains any model."""
