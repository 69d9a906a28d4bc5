"""The command line. Commands import what they need when they run, so that `--help` stays instant."""

from keras_lr.cli._main import main

__all__ = ["main"]
