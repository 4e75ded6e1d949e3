"""Studies of anomaly detectors: maps against defects, decisions with and without evidence, published setups."""

from xai_ext.study._anomaly_demo import AnomalyConfig, AnomalyDemo, anomaly_demo
from xai_ext.study._decision_report import DecisionReport, decision_report, report_of
from xai_ext.study._explain_table import PaperMap, compare_all, cross_table, explain_table
from xai_ext.study._paper_setup import paper_setup

__all__ = [
    "AnomalyConfig",
    "AnomalyDemo",
    "DecisionReport",
    "PaperMap",
    "anomaly_demo",
    "compare_all",
    "cross_table",
    "decision_report",
    "explain_table",
    "paper_setup",
    "report_of",
]
