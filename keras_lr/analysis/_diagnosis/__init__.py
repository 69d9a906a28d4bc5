"""What can be found in a series, and how it is told from noise."""
