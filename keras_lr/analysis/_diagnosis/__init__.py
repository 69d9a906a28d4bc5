"""Judging the learning rate of a run by its training history.

`readers` reads a history, and `history` holds its series. `findings` lists what they show, with a module of its own for
`divergence`, `oscillation` and `plateau`; `decay` is the undisturbed fall that these are tested against. `diagnose`
gives the verdict, by a rule or by the `scorecard` of the `features`. `compare` does all this for several runs. `advice`
words what to try next.
"""
