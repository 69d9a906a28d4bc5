"""From the loss curve of a range test to a learning rate."""
