"""Helpers that every other part uses: argument checks, formatting, files, downsampling, progress and Ctrl-C."""
