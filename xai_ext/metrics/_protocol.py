"""How deletion and insertion curves are taken."""

from dataclasses import dataclass

from xai_ext._checks import check_at_least, check_choice
from xai_ext.metrics._adapt import Reading
from xai_ext.metrics._ranking import NORMALIZATIONS, TIES
from xai_ext.metrics._scores import Score, check_score


@dataclass(frozen=True)
class Protocol:
    """How deletion and insertion curves are taken: state it with every number.

    Parameters
    ----------
    n_steps : int
        Intervals of the curve, even in the number of positions removed; every tie group once when there are no
        more groups than that.
    step_size : int, optional
        Positions per step instead; the last step may be shorter.
    ties : {"group", "stable", "reverse"}
        Equal values leave together, so that no pixel order decides; lower index first; higher index first. A
        step moves to the nearest count that cuts no group.
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
    """

    n_steps: int = 28
    step_size: int | None = None
    ties: str = "group"
    axis: str = "pixels"
    sign: str = "signed"
    channel_reduce: str = "sum"
    channel_dim: int | None = 1
    score: Score = None
    normalize: str = "none"

    def __post_init__(self) -> None:
        check_at_least("n_steps", self.n_steps, 1)
        if self.step_size is not None:
            check_at_least("step_size", self.step_size, 1)
        check_choice("ties", self.ties, TIES)
        check_choice("axis", self.axis, ("pixels", "features"))
        check_choice("normalize", self.normalize, NORMALIZATIONS)
        check_score(self.score)
        self.reading("channels_first", None)

    def reading(self, layout: str, output: int | str | None) -> Reading:
        """How maps in this layout are to be read."""
        return Reading(self.channel_dim, self.channel_reduce, self.sign, layout, output)
