"""Judging the learning rate of a run by its training history.

`readers` reads a history, `files` what is on disk, `printed` what a program has printed, and `table` what names and
rows mean; `history` holds the series.
`findings` lists what they show, of which `oscillation` has a module of its own, and `decay` has the undisturbed fall
that all are tested against. `diagnose` gives the verdict, by one of the `facts` that settle it or by the `scorecard` of
the `features`, and words what to try next. `compare` does all this for several runs.
"""
