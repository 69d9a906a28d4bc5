"""A sweep's curve -> a learning rate."""
