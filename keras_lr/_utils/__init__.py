"""Helpers that every other part uses: argument checks, names, formatting, files, downsampling, progress, Ctrl-C."""
