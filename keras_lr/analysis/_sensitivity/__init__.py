"""A grid of runs -> the best learning rate and its basin."""
