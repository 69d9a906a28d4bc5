"""Judging the learning rate of a run by its training history.

`readers` reads a history, `files` what is on disk, and `table` what names and rows mean; `history` holds the series.
`findings` lists what they show, with a module of its own for `divergence`, `oscillation` and `plateau`; `decay`
is the undisturbed fall that these are tested against. `diagnose` gives the verdict, by a rule or by the `scorecard` of
the `features`. `compare` does all this for several runs. `advice` words what to try next.
"""
