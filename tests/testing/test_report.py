"""Reports."""

from xai_ext.testing import CheckResult, Report


def test_an_unexpected_pass_is_a_failure():
    results = tuple(CheckResult(s, "life", s) for s in ("passed", "failed", "unexpected_pass", "expected_failure"))
    report = Report("m:C", results)
    assert [r.id for r in report.failed] == ["failed", "unexpected_pass"]
    assert report.counts()["passed"] == 1


def test_a_report_without_correctness_says_so():
    assert "No correctness claim was tested" in Report("m:C", (CheckResult("quiet", "contract", "passed"),)).summary()
    assert "No correctness" not in Report("m:C", (CheckResult("twins", "correctness", "passed"),)).summary()
