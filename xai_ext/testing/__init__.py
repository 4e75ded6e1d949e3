"""Checks that any attribution method can be put through: of this package, of Captum, SHAP or lime, or your own."""

from xai_ext.testing.battery import (
    attribution_cases,
    check_attribution,
    load_expected,
    parametrize_with_checks,
)
from xai_ext.testing.pieces import check_metric, check_score
from xai_ext.testing.report import CheckResult, Report
from xai_ext.testing.tags import Tags, infer_tags

__all__ = [
    "CheckResult", "Report", "Tags", "attribution_cases", "check_attribution", "check_metric", "check_score",
    "infer_tags", "load_expected", "parametrize_with_checks",
]  # fmt: skip
