"""What can be found in a series, one finding a file."""
