"""Throughput of a card that nobody measured, with an 80 % interval, from its specs and the cards that were.

A roofline fitted to the measured cards, corrected by what the three most similar ones do better or worse than it.
The interval comes from leaving out, in turn, each measured card (or each chip generation when the target's is new)
and predicting it from the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from typing import NamedTuple

from gpucloud.core import roofline
from gpucloud.core.offers import Accelerator
from gpucloud.core.roofline import Specs

NEIGHBOURS, WIDTH, SHRINK = 3, 0.72, 0.25
FEWEST_FOR_FIT = 3
PRIOR_ERROR = log(1.6)  # 80 % of predictions from one or two cards are within this
PRIOR_WEIGHT = 6.0  # measured cards that the prior counts for
STRANGER = log(1.3)  # a vendor whose software nobody measured on this model
# |z| at the middle of ten equal slices of a normal distribution, over its 80 % point 1.2816
_SLICES = (0.049, 0.147, 0.249, 0.354, 0.466, 0.590, 0.729, 0.898, 1.123, 1.529)


@dataclass(frozen=True)
class Prediction:
    """Throughput per GPU with its 80 % interval, and how it came about."""

    value: float
    low: float
    high: float
    basis: str
    explain: str


class _Known(NamedTuple):
    name: str
    card: Accelerator
    specs: Specs
    rate: float


def chip(card: Accelerator) -> str:
    """Cards with the same make of chip: what is left out together to see how a new generation is predicted."""
    if card.architecture and card.compute_capability:
        return f"{card.architecture} {card.compute_capability}"
    return card.architecture or card.family or card.name


class Predictor:
    """The fitted curve of one model and precision class; errors are worked out once, when first needed."""

    def __init__(self, per_gpu: Mapping[str, float], cards: Mapping[str, Accelerator], precision: str) -> None:
        """`per_gpu` maps measured cards to their rate; cards without specs are left out."""
        self.precision = precision
        self.known = _known(per_gpu, cards, precision)
        self._curve = _curve(self.known)
        self._errors: dict[str, list[float]] = {}

    def predict(self, card: Accelerator) -> Prediction | None:
        """The rate of `card`; None when its specs, or any measured card's, are missing."""
        target = roofline.specs(card, self.precision)
        if target is None or not self.known:
            return None
        value, explain = _estimate(target, self.known, self._curve)
        width = self._width(card)
        return Prediction(value, value / exp(width), value * exp(width), "predicted", explain)

    def _width(self, card: Accelerator) -> float:
        same_chip = any(chip(known.card) == chip(card) for known in self.known)
        errors = self.errors("card" if same_chip else "chip") if len(self.known) > FEWEST_FOR_FIT else []
        stranger = not any(known.card.vendor == card.vendor for known in self.known)
        return width_of(errors) + (STRANGER if stranger else 0.0)

    def errors(self, leave: str) -> list[float]:
        """|log error| of each measured card when it (`card`) or its whole generation (`chip`) is left out."""
        if leave not in self._errors:
            self._errors[leave] = list(_left_out(self.known, leave))
        return self._errors[leave]


def _known(per_gpu: Mapping[str, float], cards: Mapping[str, Accelerator], precision: str) -> list[_Known]:
    found = []
    for name in sorted(per_gpu):
        card = cards.get(name)
        figures = roofline.specs(card, precision) if card else None
        if card is not None and figures is not None:
            found.append(_Known(name, card, figures, per_gpu[name]))
    return found


def _curve(known: list[_Known]) -> tuple[float, ...] | None:
    return roofline.fit([(one.specs, one.rate) for one in known]) if len(known) >= FEWEST_FOR_FIT else None


def _estimate(target: Specs, known: list[_Known], curve: tuple[float, ...] | None) -> tuple[float, str]:
    if curve is None:
        return _from_few(target, known)
    near = sorted((roofline.distance(target, one.specs), one.name, one) for one in known)[:NEIGHBOURS]
    weights = [exp(-far * far / WIDTH) for far, _, _ in near]
    residuals = [log(one.rate / roofline.throughput(curve, one.specs)) for _, _, one in near]
    correction = sum(w * r for w, r in zip(weights, residuals, strict=True)) / (sum(weights) + SHRINK)
    names = ", ".join(name for _, name, _ in near)
    return (
        roofline.throughput(curve, target) * exp(correction),
        f"roofline over {len(known)} measured cards, x{exp(correction):.2f} from {names}",
    )


def _from_few(target: Specs, known: list[_Known]) -> tuple[float, str]:
    weights = [1 / (roofline.distance(target, one.specs) + 0.05) for one in known]
    guesses = [log(one.rate * roofline.shape_ratio(target, one.specs)) for one in known]
    value = exp(sum(w * g for w, g in zip(weights, guesses, strict=True)) / sum(weights))
    return value, "peak and bandwidth against " + ", ".join(one.name for one in known)


def _left_out(known: list[_Known], leave: str) -> list[float]:
    errors = []
    fits: dict[str, tuple[list[_Known], tuple[float, ...] | None]] = {}
    for one in known:
        key = one.name if leave == "card" else chip(one.card)
        if key not in fits:
            rest = [other for other in known if key != (other.name if leave == "card" else chip(other.card))]
            fits[key] = rest, _curve(rest)
        rest, curve = fits[key]
        if rest:
            errors.append(abs(log(_estimate(one.specs, rest, curve)[0] / one.rate)))
    return errors


def width_of(errors: list[float]) -> float:
    """Half-width (log) that holds 80 % of `errors` together with a prior that fades as they grow in number."""
    slice_weight = PRIOR_WEIGHT / len(_SLICES)
    weighted = sorted([(error, 1.0) for error in errors] + [(PRIOR_ERROR * z * 1.0, slice_weight) for z in _SLICES])
    needed = 0.8 * sum(weight for _, weight in weighted)
    for error, weight in weighted:
        needed -= weight
        if needed <= 1e-12:
            return error
    return weighted[-1][0]
