"""The laws, over every metric that the package exports."""

import pytest

from tests.metrics.laws import MetricLaws
from xai_ext import metrics

PUBLIC = [f for f in (getattr(metrics, name) for name in metrics.__all__) if hasattr(f, "higher_is_better")]


class TestEveryMetric(MetricLaws):
    @pytest.fixture(params=[f for f in PUBLIC if f is not metrics.sensitivity_n], ids=lambda f: f.__name__)
    def metric(self, request):
        return request.param


def test_the_search_finds_the_metrics():
    names = {f.__name__ for f in PUBLIC}
    expected = (
        "agreement au_iou average_precision deletion effective_complexity energy_pointing_game entropy f_score gini"
    )
    expected += " hoyer insertion iou max_iou pointing_game precision rank_accuracy recall roc_auc sensitivity_n srg"
    assert names == set(expected.split())


def test_only_metrics_that_look_at_the_truth_to_choose_are_label_aware():
    assert {f.__name__ for f in PUBLIC if f.label_aware} == {"max_iou"}
