"""Owen values: of one tree, of a tree that follows an earlier map, and of several trees of one image."""

from xai_ext.methods._best_first import BestFirst
from xai_ext.methods._designed import Designed
from xai_ext.methods._exact import Exact
from xai_ext.methods._feedback import Feedback, owen_with_feedback
from xai_ext.methods._owen import named_estimator, owen
from xai_ext.methods._owen_task import Estimator
from xai_ext.methods._several_trees import owen_over_trees

__all__ = [
    "BestFirst",
    "Designed",
    "Estimator",
    "Exact",
    "Feedback",
    "named_estimator",
    "owen",
    "owen_over_trees",
    "owen_with_feedback",
]
