import pytest
import torch

from xai_ext.anomaly.reducers import KthLargest, LogSumExp, Max, Mean, Quantile, Region, Sum, TopK, named_reducer

EVIDENCE = torch.tensor([[4.0, 1.0], [3.0, 2.0]], dtype=torch.float64)[None, None]


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        (Max(), 4), (Mean(), 2.5), (Sum(), 10), (TopK(1), 4), (TopK(3), 3), (TopK(0.5), 3.5), (TopK(0.01), 4),
        (KthLargest(2), 3), (Quantile(0.5), 2), (Quantile(1.0), 4), (Quantile(0.0), 1),
        (Region(torch.tensor([[False, True], [False, True]]).numpy(), Max()), 2),
    ],
)  # fmt: skip
def test_four_positions_reduced_by_hand(reduce, expected):
    assert float(reduce(EVIDENCE)) == expected


def test_log_sum_exp_lies_between_mean_and_maximum():
    assert float(LogSumExp(1e-9)(EVIDENCE)) == pytest.approx(2.5, abs=1e-6)
    assert float(LogSumExp(500.0)(EVIDENCE)) == pytest.approx(4, abs=0.01)  # ln(4)/500 below


def test_each_row_is_reduced_on_its_own():
    both = torch.cat([EVIDENCE, 2 * EVIDENCE])
    for reduce in (Max(), Mean(), Sum(), TopK(2), KthLargest(2), Quantile(0.4)):
        torch.testing.assert_close(reduce(both), torch.stack([reduce(EVIDENCE)[0], 2 * reduce(EVIDENCE)[0]]))


@pytest.mark.parametrize(("reduce", "n"), [(Max(), 1), (TopK(3), 3), (KthLargest(2), 1), (Mean(), 4)])
def test_the_gradient_sees_as_many_positions_as_the_reducer(reduce, n):
    evidence = EVIDENCE.clone().requires_grad_()
    reduce(evidence).sum().backward()
    assert int((evidence.grad != 0).sum()) == n


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: TopK(0), "at least 1"),
        (lambda: TopK(1.5), "share"),
        (lambda: TopK(5)(EVIDENCE), "at most the 4"),
        (lambda: KthLargest(0), "at least 1"),
        (lambda: KthLargest(5)(EVIDENCE), "at most the 4"),
        (lambda: Quantile(2.0), r"0\.\.1"),
        (lambda: LogSumExp(0.0), "positive"),
        (lambda: Region(torch.zeros(2, 2).bool().numpy(), Max())(EVIDENCE), "not empty"),
        (lambda: Region(torch.ones(3, 2).bool().numpy(), Max())(EVIDENCE), "nearest"),
        (lambda: named_reducer("median"), "reduce must be one of"),
        (lambda: named_reducer(Max), "such as Max"),
    ],
)
def test_what_makes_no_sense_is_refused(make, match):
    with pytest.raises((ValueError, TypeError), match=match):
        make()


def test_names_give_reducers():
    assert [named_reducer(n) for n in ("max", "mean", "sum")] == [Max(), Mean(), Sum()]
