"""Planted studies: what was planted is found, and nothing else."""

import json
from itertools import product
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kstest, spearmanr

from tests.laws import GeneratorsUntouched
from xai_ext.metrics import agreement, kendall_w
from xai_ext.study import _effects, _sections
from xai_ext.study._choice import NO_WINNER, choose
from xai_ext.study.disagreement import DisagreementStudy, Key, disagreement_report, related

SIDE = 8


def smooth(rng, noise=0.0, base=None):
    field = rng.normal(size=(SIDE, SIDE)) if base is None else base
    return field + noise * rng.normal(size=(SIDE, SIDE))


def noisy_study(n_images=24, **settings):
    """A and B see the same with noise of seeds, C sees something else."""
    rng = np.random.default_rng(0)
    study = DisagreementStudy(**({"metrics": ["spearman", "feature_agreement"], "ks": [0.1, 0.25]} | settings))
    for image in range(n_images):
        base, other = smooth(rng), smooth(rng)
        maps = {Key(m, seed=s): smooth(rng, 0.5, base) for m in "AB" for s in range(2)}
        maps |= {Key("C", seed=s): smooth(rng, 0.5, other) for s in range(2)}
        study.update(image, maps)
    return study.report()


@pytest.fixture(scope="module")
def found():
    return noisy_study()


class TestBeyondNoise:
    def test_seed_noise_is_no_disagreement_and_another_map_is(self, found):
        table = found.beyond_noise[found.beyond_noise.measure == "spearman"].set_index(["a", "b"])
        assert table.real.to_dict() == {("A", "B"): False, ("A", "C"): True, ("B", "C"): True}
        assert table.p_holm["A", "C"] < 0.001
        assert abs(table.excess["A", "B"]) < 0.03

    def test_seed_noise_is_rarely_called_real(self):
        real = 0
        for seed in range(10):
            rng = np.random.default_rng(seed)
            images = [smooth(rng) for _ in range(6)]
            maps = [{Key(m, seed=s): x + 0.5 * smooth(rng) for m in "AB" for s in (0, 1)} for x in images]
            real += int(disagreement_report(maps, metrics=["spearman"]).beyond_noise.real.sum())
        assert real <= 2  # of 10 pairs; half of them have an excess above 0

    def test_references_stand_beside(self, found):
        chance = found.beyond_noise.groupby("measure").chance.mean()
        assert chance.to_dict() == pytest.approx(
            {"spearman": 0, "feature_agreement@0.1": 6 / 64, "feature_agreement@0.25": 0.25}
        )
        table = found.beyond_noise[found.beyond_noise.measure == "spearman"]
        for kind in ("random", "rolled", "other_image"):
            assert (abs(table[kind]) < 0.15).all()

    def test_agreement_without_its_noise_may_exceed_one(self, found):
        table = found.beyond_noise[found.beyond_noise.measure == "spearman"].set_index(["a", "b"])
        row = table.loc[("A", "B")]
        assert row.corrected == pytest.approx(row.agreement / np.sqrt(row.floor_a * row.floor_b), abs=1e-12)
        assert row.corrected == pytest.approx(1, abs=0.05)

    def test_a_single_run_has_a_floor_of_one(self):
        rng = np.random.default_rng(0)
        maps = [{"a": smooth(rng), "b": smooth(rng)} for _ in range(5)]
        table = disagreement_report(maps, metrics=["spearman"]).beyond_noise
        assert table.floor_a.tolist() == table.floor_b.tolist() == [1.0]


class TestRelations:
    def test_pairs_differ_in_one_factor(self):
        keys = [Key(m, model=v, baseline=b, seed=s) for m, v, b, s in product("AB", "xy", "01", range(2))]
        for relation, a, b in related(keys):
            assert [f for f in ("method", "model", "baseline", "seed") if getattr(a, f) != getattr(b, f)] == [relation]
        counts = pd.Series([r for r, _, _ in related(keys)]).value_counts()
        assert counts.to_dict() == {"method": 8, "model": 8, "baseline": 8, "seed": 8}

    def test_a_method_with_one_run_meets_each_run_of_another(self):
        keys = [Key("A", seed=s) for s in range(3)] + [Key("B")]
        pairs = [(a.seed, b.seed) for relation, a, b in related(keys) if relation == "method"]
        assert pairs == [(0, 0), (1, 0), (2, 0)]


class TestTables:
    def test_the_matrix_holds_means_of_agreement(self):
        rng = np.random.default_rng(1)
        maps = rng.normal(size=(6, 2, SIDE, SIDE))
        labels = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) // 4
        report = disagreement_report(
            [{"a": a, "b": b} for a, b in maps], metrics=["spearman", "feature_agreement", "ssim"], ks=[0.1, 0.3],
            feature_masks=[labels] * 6,
        )  # fmt: skip
        table = report.matrix.set_index(["view", "measure"])
        for view, options in (("pixels", {}), ("regions", {"feature_mask": labels})):
            expected = agreement(maps[:, 0], maps[:, 1], "spearman", **options)
            assert table["mean"][view, "spearman"] == pytest.approx(expected.mean().item(), abs=1e-12)
            top = agreement(maps[:, 0], maps[:, 1], "feature_agreement", k=[0.1, 0.3], **options).mean(0)
            assert table["mean"][view, "feature_agreement@0.3"] == pytest.approx(top[1].item(), abs=1e-12)
            area = report.areas[report.areas["view"] == view].area.item()
            assert area == pytest.approx(top.mean().item(), abs=1e-12)
        assert np.isnan(table["mean"]["regions", "ssim"])
        w = kendall_w([maps[:, 0], maps[:, 1]]).mean().item()
        assert report.concordance.set_index("view")["mean"]["pixels"] == pytest.approx(w, abs=1e-12)

    def test_factors_change_maps_as_planted(self):
        rng = np.random.default_rng(2)
        study = DisagreementStudy(metrics=["pearson"], n_permutations=99)
        for image in range(30):
            base = smooth(rng)
            maps = {
                Key(m, model=v, baseline=b, seed=s): base + 2 * (m == "B") * rng.normal(size=base.shape)
                + 0.7 * (v == "y") * rng.normal(size=base.shape) + 0.1 * rng.normal(size=base.shape)
                for m, v, b, s in product("AB", "xy", "01", range(2))
            }  # fmt: skip
            study.update(image, maps, prediction={"x": 0, "y": int(image < 10)})
        table = study.report().changes_maps.set_index("factor")
        assert table.n.to_dict() == {"method": 30, "model": 20, "baseline": 30, "seed": 30}
        assert table.beyond_seed["seed"] == 0
        assert table.beyond_low["method"] > 0
        assert table.disagreement["method"] > table.disagreement["model"]
        assert abs(table.beyond_seed["baseline"]) < 0.03

    def test_extreme_images_and_what_goes_with_them(self):
        rng = np.random.default_rng(3)
        study = DisagreementStudy(metrics=["spearman"])
        for image in range(40):
            base = smooth(rng)
            maps = {Key("a"): base, Key("b"): smooth(rng, image / 10, base)}
            mask = np.zeros((SIDE, SIDE), bool)
            mask[:2] = True
            study.update(image, maps, mask=mask, covariates={"noise": image, "other": rng.random()})
        report = study.report()
        table = report.images.set_index("covariate")
        assert table.rho["noise"] > 0.8
        assert table.low["noise"] < table.rho["noise"] < table.high["noise"]
        assert table.p_holm["noise"] < 1e-6 < table.p_holm["other"]
        assert np.isnan(table.rho["object_area"])
        most = report.extremes[report.extremes.which == "most"].image_id
        assert len(most) == 10
        assert most.mean() > 25

    def test_measures_are_judged_by_what_they_tell_apart(self, found):
        table = found.measures.set_index("measure")
        assert table.same_from_other_image["spearman"] > 0.99
        assert table.seed_from_method["spearman"] > 0.7
        taus = found.measure_taus.set_index(["a", "b"])
        assert taus.tau["feature_agreement@0.1", "feature_agreement@0.25"] > 0.3

    def test_areas_under_the_curve_of_pairs_are_mann_whitneys(self):
        high, low = np.array([1.0, 2, 2, np.nan]), np.array([2.0, 0, 1])
        expected = np.mean([(a > b) + (a == b) / 2 for a in (1, 2, 2) for b in (2, 0, 1)])
        assert _sections._auroc(high, low) == pytest.approx(expected)
        assert np.isnan(_sections._auroc(high, np.array([])))


def planted(rng, shape, amounts, *, between=0.0, noise=1.0):
    """Balanced cells: images x pairs x models x baselines, with levels that differ by the given amounts."""
    response = noise * rng.normal(size=shape) + rng.normal(size=shape[0])[:, None, None, None]
    for axis, amount in enumerate(amounts, start=1):
        levels = amount * np.linspace(-1, 1, shape[axis])
        response = response + levels.reshape([-1 if a == axis else 1 for a in range(4)])
    datasets = np.arange(shape[0]) % 2
    return response + between * (2 * datasets - 1)[:, None, None, None], datasets


class TestLevels:
    SHAPE = 200, 3, 2, 2

    def test_planted_shares_of_variance_are_recovered(self):
        amounts, between = (1.0, 0.5, 0.0), 0.4
        response, datasets = planted(np.random.default_rng(0), self.SHAPE, amounts, between=between)
        variances = {"pair": 2 / 3 * 1.0, "model": 0.25, "baseline": 0.0, "dataset": between**2}
        total = sum(variances.values()) + 1 + 1  # images and noise
        found = {
            e.factor: e
            for e in _effects.effects(
                response, ("pair", "model", "baseline"), datasets, n_permutations=199, rng=np.random.default_rng(1)
            )
        }
        for name, variance in variances.items():
            assert found[name].omega2 == pytest.approx(variance / total, abs=0.03)
        assert found["pair x model"].omega2 == pytest.approx(0, abs=0.01)
        assert found["pair"].p == found["model"].p == 1 / 200
        assert found["baseline"].p_holm > 0.05

    def test_an_interaction_is_listed(self):
        response, datasets = planted(np.random.default_rng(0), self.SHAPE, (0, 0, 0))
        response[:, 0, 0] += 2
        response[:, 0, 1] -= 2
        found = {
            e.factor: e
            for e in _effects.effects(
                response, ("pair", "model", "baseline"), datasets, n_permutations=9, rng=np.random.default_rng(1)
            )
        }
        assert found["pair x model"].omega2 > 0.2 > found["pair x baseline"].omega2

    def test_p_is_uniform_where_nothing_was_planted(self):
        rng, p = np.random.default_rng(0), {"pair": [], "model": [], "baseline": [], "dataset": []}
        for _ in range(200):
            response, datasets = planted(rng, (12, 3, 2, 2), (0, 0, 0))
            for e in _effects.effects(response, ("pair", "model", "baseline"), datasets, n_permutations=199, rng=rng):
                if e.factor in p:
                    p[e.factor].append(e.p)
        for values in p.values():
            jitter = np.array(values) - rng.random(200) / 200  # p is a multiple of 1 / 200
            assert kstest(jitter, "uniform").pvalue > 0.01

    def test_incomplete_images_are_dropped_and_counted(self):
        rng = np.random.default_rng(0)
        study = DisagreementStudy(metrics=["pearson"], n_permutations=49)
        for image in range(8):
            maps = {Key(m, model=v): smooth(rng) for m, v in product("ABC", "xy")}
            if image == 3:
                maps[Key("A", model="x")][0, 0] = np.nan
            study.update(image, maps)
        report = study.report()
        assert report.changes_levels.n_images.unique().tolist() == [7]
        assert report.changes_levels.n_dropped.unique().tolist() == [1]
        assert report.setup["skipped"] == {"A: NON_FINITE": 1}


def scored(rng, quality, n_images=30):
    """A table of scores: quality per metric and method, with an effect of images."""
    rows = []
    for image in range(n_images):
        level = rng.normal()
        for metric, means in quality.items():
            for method, mean in means.items():
                value = mean + level + 0.5 * rng.normal()
                rows.append({"dataset": "", "model": "", "baseline": "", "seed": 0, "image_id": image,
                             "method": method, "metric": metric, "value": value})  # fmt: skip
    return pd.DataFrame(rows)


class TestChoice:
    def test_the_planted_best_is_found(self):
        rng, hits = np.random.default_rng(0), 0
        for _ in range(100):
            table = scored(rng, {"srg": {"A": 0.0, "B": 1.0, "C": 0.2}})
            _, choice = choose(table, {}, ("srg",), 0.05)
            hits += choice.recommended.item() == "B"
        assert hits >= 95

    def test_opposed_scores_have_no_winner(self):
        quality = {"srg": {"A": 1.0, "B": 0.0, "C": -1}, "deletion": {"A": 1.0, "B": 0.0, "C": 1.5}}
        table = scored(np.random.default_rng(1), quality)
        _, choice = choose(table, {}, ("srg", "deletion"), 0.05)
        assert choice.verdict.item() == NO_WINNER == "no method dominates"
        assert choice.front.item() == "A, B"

    def test_nothing_is_chosen_that_is_not_shown_to_beat_a_map_blind_to_the_model(self):
        rng = np.random.default_rng(3)
        _, choice = choose(scored(rng, {"srg": {"A": 0.1, "random": 0.0, "center": 0.1}}), {}, ("srg",), 0.05)
        assert choice.verdict.item() == "no method is shown to beat center or random"
        _, choice = choose(scored(rng, {"srg": {"A": 3.0, "random": 0.0, "center": 0.1}}), {}, ("srg",), 0.05)
        assert choice.verdict.item() == "choose A"

    def test_equals_are_ordered_by_noise_then_by_cost(self):
        table = scored(np.random.default_rng(2), {"srg": dict.fromkeys("ABC", 0.0)})
        cost = pd.DataFrame(
            [{**dict.fromkeys(["dataset", "model", "baseline"], ""), "seed": 0, "image_id": 0, "method": m,
              "metric": "n_evals", "value": v} for m, v in (("A", 900), ("B", 100), ("C", 5))]
        )  # fmt: skip
        _, choice = choose(pd.concat([table, cost]), {"A": 0.9, "B": 0.9, "C": 0.5}, ("srg",), 0.05)
        assert choice.recommended.item() == "B, A, C"

    def test_scores_are_linked_with_agreement(self):
        rng = np.random.default_rng(4)
        study = DisagreementStudy(metrics=["spearman"])
        for image in range(25):
            base = smooth(rng)
            maps = {Key("a"): base, Key("b"): smooth(rng, image / 8, base)}
            study.update(image, maps, scores={k: {"srg": -image + 0.01 * rng.normal(), "n_evals": 5} for k in maps})
        report = study.report()
        assert report.scores.set_index("metric").rho["srg"] > 0.7
        assert report.score_ranks.within.metric.tolist() == ["srg"]
        assert report.choice.recommended.item()


class TestStudy:
    def test_maps_come_in_every_form_and_nothing_is_touched(self):
        from types import SimpleNamespace

        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, 3, SIDE, SIDE))
        shap = SimpleNamespace(values=a.transpose(1, 2, 0)[None], data=a.transpose(1, 2, 0)[None], base_values=0.0)
        reports = []
        with GeneratorsUntouched():
            for first in (a, torch.from_numpy(a), shap):
                study = DisagreementStudy(metrics=["pearson"])
                study.update(0, {Key("a"): first, Key("b"): b})
                study.update(1, {Key("a"): first, Key("b"): b})
                reports.append(study.report().matrix)
        expected = agreement(a[None], b[None], "pearson").item()
        for table in reports:
            assert table["mean"].item() == pytest.approx(expected, abs=1e-14)

    def test_only_scalars_and_the_last_maps_are_kept(self):
        study = DisagreementStudy(metrics=["spearman"])
        rng = np.random.default_rng(0)
        for image in range(6):
            study.update(image, {Key("a"): smooth(rng), Key("b"): smooth(rng)})
        for rows in (study._records.pairs, study._records.images):
            assert all(np.isscalar(v) for row in rows for v in row.values())
        assert len(study._before) == 2

    def test_it_can_be_written_down(self, found, tmp_path):
        content = json.loads(found.to_json())
        assert len(content["matrix"]) == len(found.matrix)
        written = found.to_csv(tmp_path / "tables")
        assert {p.stem for p in written} >= {"matrix", "beyond_noise", "changes_maps"}
        assert len(pd.read_csv(tmp_path / "tables" / "matrix.csv")) == len(found.matrix)
        assert "2 of 3 pairs disagree beyond their seed noise" in found.summary()

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda s: s.update(0, {}), "at least one map"),
            (lambda s: s.update(0, {Key("a", "x"): 1, Key("a", "y"): 1}), "belongs to one data set"),
            (lambda s: s.report(), "nothing to report"),
            (lambda s: DisagreementStudy(metrics=[]), "a study needs metrics"),
            (lambda s: DisagreementStudy(metrics=["spearmann"]), "did you mean 'spearman'"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, call, message):
        with pytest.raises(ValueError, match=message):
            call(DisagreementStudy())

    def test_intervals_of_rank_correlations_cover(self):
        rng, hits = np.random.default_rng(0), 0
        truth = 6 / np.pi * np.arcsin(0.5 / 2)  # Spearman's of a normal pair with correlation .5
        for _ in range(400):
            x, y = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 40).T
            found = _sections._rank_correlation(x, y)
            assert found["rho"] == pytest.approx(spearmanr(x, y).statistic)
            hits += found["low"] <= truth <= found["high"]
        assert hits / 400 == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 400) ** 0.5)


class TestRows:
    """A study travels as a table."""

    SETTINGS = MappingProxyType({"metrics": ("spearman", "feature_agreement"), "n_permutations": 99})

    def study(self, images):
        study = DisagreementStudy(**self.SETTINGS)
        for i in images:
            noise = np.random.default_rng(i)
            maps = {
                Key(method, "d", model, seed=seed): noise.normal(size=(8, 8)) + np.arange(64.0).reshape(8, 8)
                for method in ("a", "b", "c") for model in ("x", "y") for seed in (0, 1)
            }  # fmt: skip
            del maps[Key("c", "d", "x", seed=1)], maps[Key("c", "d", "y", seed=1)]  # one that draws nothing
            maps[Key("broken", "d", "x")] = np.full((8, 8), np.nan)
            study.update(
                f"image {i}", maps, prediction={"x": 1, "y": i % 2}, target=1, covariates={"p": 0.1 * i},
                feature_mask=np.arange(64).reshape(8, 8) // 4, other_image={k: m.T for k, m in maps.items()},
                scores={key: {"srg": float(m.sum()), "n_evals": 3.0} for key, m in maps.items()},
            )  # fmt: skip
        return study

    def test_a_study_read_back_reports_the_same(self):
        study = self.study(range(6))
        again = DisagreementStudy.from_rows(study.rows(), **self.SETTINGS)
        assert again.report().to_json() == study.report().to_json()

    def test_rows_of_parts_may_be_joined_in_any_order(self):
        parts = [self.study([i]).rows() for i in range(6)]
        found = [
            DisagreementStudy.from_rows(pd.concat([parts[i] for i in order]), **self.SETTINGS).report()
            for order in (range(6), (4, 1, 5, 0, 3, 2))
        ]
        assert found[0].to_json() == found[1].to_json()
        assert found[0].setup["n_images"] == 6
