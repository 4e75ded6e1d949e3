"""Figures. Nothing is shown, no global setting is changed; axes and figures come back to the caller."""

from xai_ext._plot_agreement import agreement_dendrogram, agreement_heatmap
from xai_ext._plot_maps import overlay, segments
from xai_ext._plot_players import loss_boxes, masked, positive_segments, score_boxes
from xai_ext._plot_sheets import AnomalyRow, anomaly_sheet, attribution_grid, hierarchy_levels
from xai_ext._plot_tables import (
    convergence,
    cost_vs_quality,
    curves,
    iterations,
    metric_intervals,
    what_changes,
)

__all__ = [
    "AnomalyRow", "agreement_dendrogram", "agreement_heatmap", "anomaly_sheet", "attribution_grid", "convergence",
    "cost_vs_quality", "curves", "hierarchy_levels", "iterations", "loss_boxes", "masked", "metric_intervals",
    "overlay", "positive_segments", "score_boxes", "segments", "what_changes",
]  # fmt: skip
