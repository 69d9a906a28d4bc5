"""From a grid of runs to the best learning rate and its basin."""
