"""Strings, files, checks and progress: what every part uses. No Keras, no plots."""
