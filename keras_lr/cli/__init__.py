"""The command line. Each command imports its dependencies only when it runs, so that `--help` is instant."""

from keras_lr.cli._main import main

__all__ = ["main"]
