"""How deletion and insertion curves are taken."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xai_ext._checks import InputError, check_at_least, check_choice
from xai_ext.metrics._adapt import Reading
from xai_ext.metrics._published import rise_blur
from xai_ext.metrics._ranking import AREAS, NORMALIZATIONS, TIES
from xai_ext.metrics._scores import Score, check_score


@dataclass(frozen=True)
class Protocol:
    """How deletion and insertion curves are taken: state it with every number.

    Parameters
    ----------
    n_steps : int
        Intervals of the curve, even in the number of positions removed; every tie group once when there are no
        more groups than that.
    step_size : int or "width", optional
        Positions per step instead, or as many as an image has columns; the last step may be shorter.
    levels : int, optional
        Instead of steps: points at that many even quantiles of the map.
    ties : {"group", "stable", "reverse", "random"}
        Equal values leave together, so that no pixel order decides; lower index first; higher index first; in random
        order. With "group" a step moves to the nearest count that cuts no group.
    n_orders : int
        Random orders over which curves are averaged, with ``ties="random"``.
    axis : {"pixels", "features"}
        With a feature mask: the share of removed positions, features ordered by value per position; or the share
        of removed features, ordered by value. Each is the best order of an additive model on its axis. Without a
        feature mask the two are the same.
    sign : {"signed", "positive", "abs"}
        Rank by a, max(a, 0) or abs(a), after channels and features were joined.
    channel_reduce : {"sum", "mean", "abs_sum", "max", "max_abs"}
        The value of a position with several channels.
    channel_dim : int or None
        Dimension of the channels, which are removed together, in inputs of three dimensions and more. None: each
        element is a position.
    score : None, "logit", "prob", "log_prob", "margin" or callable
        What the curve follows: the target output as returned (None and "logit"); its softmax probability or the
        logarithm of that; the target minus the largest other output; ``score(outputs, target) -> (rows,)``.
    normalize : {"none", "original", "range", "range_clipped"}
        y; y / f(x); (y - f(baseline)) / (f(x) - f(baseline)); the same with y clipped to between the two first.
    area : {"trapezoid", "even"}
        Trapezoids over the true shares; or as if all steps were equally wide, also a short last one.
    insertion_baseline : callable, optional
        Inputs -> the baseline of insertion; deletion then starts from 0, and no other baseline may be given.
    """

    n_steps: int = 28
    step_size: int | str | None = None
    levels: int | None = None
    ties: str = "group"
    n_orders: int = 1
    axis: str = "pixels"
    sign: str = "signed"
    channel_reduce: str = "sum"
    channel_dim: int | None = 1
    score: Score = None
    normalize: str = "none"
    area: str = "trapezoid"
    insertion_baseline: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        check_at_least("n_steps", self.n_steps, 1)
        if isinstance(self.step_size, str):
            check_choice("step_size", self.step_size, ("width",))
        elif self.step_size is not None:
            check_at_least("step_size", self.step_size, 1)
        if self.levels is not None:
            check_at_least("levels", self.levels, 2)
        check_choice("ties", self.ties, TIES)
        if check_at_least("n_orders", self.n_orders, 1) > 1 and self.ties != "random":
            raise InputError(f'n_orders={self.n_orders} needs ties="random", got ties="{self.ties}"')
        if self.levels is not None and (self.step_size is not None or self.ties != "group"):
            raise InputError('levels needs ties="group" and no step_size: a quantile cuts no tie')
        check_choice("area", self.area, AREAS)
        check_choice("axis", self.axis, ("pixels", "features"))
        check_choice("normalize", self.normalize, NORMALIZATIONS)
        check_score(self.score)
        self.reading("channels_first", None)

    @classmethod
    def rise(cls) -> "Protocol":
        """As RISE was published [1]_: for reproduction only.

        Steps as long as the image is wide, deletion to 0, insertion into a blurred image, steps counted as equal. The
        published sort is not stable, so that its ties cannot be reproduced: here the higher index leaves first.

        References
        ----------
        .. [1] Petsiuk, Das, Saenko, "RISE", BMVC 2018, sec. 4.2.
        """
        return cls(step_size="width", ties="reverse", area="even", insertion_baseline=rise_blur)

    @classmethod
    def shapbpt(cls) -> "Protocol":
        """As ShapBPT was published [1]_: for reproduction only.

        Points at 101 quantiles of the map; scores clipped to between f(x) and f(baseline) and scaled to them.

        References
        ----------
        .. [1] Rashid et al., "ShapBPT", AAAI 2026.
        """
        return cls(levels=101, normalize="range_clipped")

    def reading(self, layout: str, output: int | str | None) -> Reading:
        """How maps in this layout are to be read."""
        return Reading(self.channel_dim, self.channel_reduce, self.sign, layout, output)
