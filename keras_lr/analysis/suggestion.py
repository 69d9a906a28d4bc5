"""Reading a learning rate off the curve of a range test."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_lr.analysis.consensus import Verdict, judge
from keras_lr.analysis.curve import Curve, read_curves
from keras_lr.analysis.rules import PUBLIC_RULES, fastai_view
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.records.suggestion import Confidence, Suggestion

RULES = ("consensus", *PUBLIC_RULES)
PUBLIC_HALF_WIDTH_DECADES = 0.5


def suggest(learning_rates: Any, losses: Any, *, rule: str = "consensus") -> Suggestion:
    """The learning rate that a range test's curve advises, its usable range, and how sure the curve makes us.

    Args:
        learning_rates: Positive, not decreasing, dimensionless, shape `(n_steps,)`.
        losses: Each batch's own loss in the compiled loss's unit, shape `(n_steps,)`, or `(repeats, n_steps)` for several
            sweeps from different starts, NaN after a repeat stopped. Steps with a non-finite loss are left out.
        rule: "consensus", or a public rule: "valley", "minimum", "steepest" or "slide" (fastai's).

    Returns:
        A suggestion whose `learning_rate` is None and `confidence` "none" where the curve advises nothing: flat, all
        noise, always rising, or too short.

    Raises:
        CurveError: Shapes do not match, a rate is not positive and finite, rates decrease, or no loss is finite.
        InvalidArgumentError: `rule` is unknown.

    Source:
        Smith 2017, arXiv:1506.01186, for the range test.
    """
    if rule not in RULES:
        raise InvalidArgumentError(f"`rule` must be one of {RULES}. Received: {rule!r}.")
    curves = read_curves(learning_rates, losses)
    verdicts = [judge(curve) if rule == "consensus" else _public(curve, rule) for curve in curves]
    return _settle(verdicts, rule)


def _public(curve: Curve, rule: str) -> Verdict:
    """A public rule's rate, which comes with no range of its own and no measure of trust."""
    try:
        middle = float(np.log10(PUBLIC_RULES[rule](*fastai_view(10**curve.decades, curve.losses))))
    except CurveError as err:
        return Verdict(None, 0.0, 0.0, False, str(err))
    reason = f"The public rule {rule!r} says so; it neither refuses a curve nor measures its own trust."
    return Verdict(middle, middle - PUBLIC_HALF_WIDTH_DECADES, middle + PUBLIC_HALF_WIDTH_DECADES, False, reason)


def _settle(verdicts: list[Verdict], rule: str) -> Suggestion:
    agreed = [verdict for verdict in verdicts if verdict.middle is not None]
    if 2 * len(agreed) <= len(verdicts):
        return Suggestion.refuse(next(verdict.reason for verdict in verdicts if verdict.middle is None), rule=rule)
    middles = np.array([verdict.middle for verdict in agreed])
    middle = float(np.median(middles))
    low = min(float(np.median([verdict.low for verdict in agreed])), middle)
    high = max(float(np.median([verdict.high for verdict in agreed])), middle)
    confidence: Confidence = "clear" if all(verdict.clear for verdict in verdicts) else "tentative"
    reason = next((verdict.reason for verdict in verdicts if not verdict.clear), verdicts[0].reason)
    return Suggestion(10**middle, 10**low, 10**high, confidence, reason, rule)
