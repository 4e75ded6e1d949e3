"""What both pages keep to: closed, whole, private, the same twice, small, and deaf to hostile names."""

import base64
import hashlib
import re
import socket
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from scipy.stats import wilcoxon

from tests.study.report.parsed import Page
from tests.study.report.runs import FakeRun, comparison, run
from xai_ext import _html
from xai_ext.study._safe_names import write_csv
from xai_ext.study.disagreement import disagreement_report
from xai_ext.study.report import bench_report, compare_report, write_compare_report

HOSTILE = [
    "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "</style></title><h1>x", "../../x", "a\0b",
    "\u202eevil\u202c", "x" * 300, "CON", "=1+1", "{{ 7 * 7 }}", "$\\frac{", '"><b>', "' onload='alert(1)", "&lt;b&gt;",
    "javascript:alert(1)", "\ud800",
]  # fmt: skip


def hostile_comparison(names):
    """The comparison with these names for its methods, and one for the class, the model and all notes."""
    result, first = comparison(), names[0]
    swap = dict(zip([s.name for s in result.scores], names, strict=False))
    classifier = replace(result.scene.classifier, class_names=[first] * 4)
    agreement = replace(result.agreement, names=tuple(swap.get(n, n) for n in result.agreement.names))
    return replace(
        result, scene=replace(result.scene, classifier=classifier), agreement=agreement,
        config=replace(result.config, model=first, methods=first),
        scores=[replace(s, name=swap.get(s.name, s.name), note=first) for s in result.scores],
        maps={swap.get(k, k): v for k, v in result.maps.items()},
        curves={swap.get(k, k): v for k, v in result.curves.items()},
    )  # fmt: skip


def elements(page):
    """Tags with the names of their attributes; <wbr> is where a name with dots may break, wide cells hold long ones."""
    return [(tag, sorted(set(a) - {"class"})) for tag, a in page.attributes if tag != "wbr"]


@cache
def compare_text():
    return compare_report(comparison())


@cache
def bench_text():
    return bench_report(run())


@pytest.fixture(scope="module", params=[compare_text, bench_text], ids=["compare", "bench"])
def text(request):
    return request.param()


@pytest.fixture(scope="module")
def parsed(text):
    return Page(text)


@pytest.fixture(scope="module")
def tame():
    return Page(compare_report(hostile_comparison([f"tame{i}" for i in range(len(HOSTILE))])))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return pd.read_csv(write_csv(run().table(), tmp_path_factory.mktemp("csv") / "metrics.csv"))


@pytest.fixture(scope="module")
def tables():
    return Page(bench_text()).tables


class TestClosed:
    def test_the_policy_comes_before_anything_that_could_load(self, text):
        head = text[: text.index("<title>")]
        assert re.match(
            r'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content', head
        )
        (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
        digest = base64.b64encode(hashlib.sha256(re.search(r"<script>(.*?)</script>", text, re.S)[1].encode()).digest())
        assert policy == (
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest.decode()}'; base-uri 'none'; form-action 'none'"
        )

    def test_nothing_points_out_of_the_file(self, parsed):
        for tag, attributes in parsed.attributes:
            for name in ("src", "href", "action", "srcset", "data", "poster"):
                link = attributes.get(name, "#")
                assert link.startswith(("data:", "#")), (tag, link)
            assert not [name for name in attributes if name.startswith("on")]

    def test_there_is_one_script_and_it_is_not_made_of_data(self, parsed):
        assert parsed.tags.count("script") == 1
        assert {"iframe", "object", "embed", "form", "base"} & set(parsed.tags) == set()


class TestWhole:
    def test_every_picture_has_words_and_a_size(self, parsed):
        assert len(parsed.all("img")) > 5
        for image in parsed.all("img"):
            assert len(image["alt"]) >= 20
            assert int(image["width"]) > 0
            assert int(image["height"]) > 0

    def test_every_table_has_a_caption_and_scopes_and_can_be_scrolled_by_keyboard(self, parsed):
        assert parsed.tags.count("caption") == len(parsed.all("table")) > 5
        assert {a["scope"] for a in parsed.all("th")} == {"col", "row"}
        ids = [a["id"] for _, a in parsed.attributes if "id" in a]
        assert len(ids) == len(set(ids))
        boxes = [a for a in parsed.all("div") if "scroll" in a.get("class", "").split()]
        for box in boxes:
            assert (box["role"], box["tabindex"]) == ("region", "0")
            assert box.get("aria-label") or box["aria-labelledby"] in ids

    def test_links_lead_to_sections(self, parsed):
        ids = {a.get("id") for _, a in parsed.attributes}
        assert {a["href"].removeprefix("#") for a in parsed.all("a")} <= ids

    def test_figures_are_svg_with_text_and_maps_are_webp(self, parsed):
        kinds = [image["src"].split(";")[0] for image in parsed.all("img")]
        assert set(kinds) == {"data:image/svg+xml", "data:image/webp"}
        svg = next(i["src"] for i in parsed.all("img") if "svg" in i["src"][:20])
        content = base64.b64decode(svg.split(",")[1]).decode()
        assert "<text" in content
        assert "<dc:date>" not in content


def test_the_same_result_gives_the_same_bytes(tmp_path):
    path = write_compare_report(comparison(), tmp_path / "report.html")
    assert path.read_text(encoding="utf-8") == compare_text()
    assert bench_report(run()) == bench_text()


def test_no_socket_is_opened(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a report needs no network")

    monkeypatch.setattr(socket, "socket", refuse)
    assert compare_report(comparison()) == compare_text()


def test_every_target_has_its_own_sections():
    result = comparison()
    result = replace(result, config=replace(result.config, model="torchvision:resnet50@none"))
    other = replace(result, scene=replace(result.scene, target=0), verdict=["Nothing can be said."])
    page = Page(compare_report(replace(result, further=(other,))))
    ids = [a["id"] for _, a in page.attributes if "id" in a]
    assert len(ids) == len(set(ids))
    assert {"scores", "scores-2", "agreement", "agreement-2"} <= set(ids)
    assert {a["href"].removeprefix("#") for a in page.all("a")} <= set(ids)
    texts = "".join(text for _, text in page.texts)
    assert f"Why {other.scene.target_name}?" in texts
    assert "Nothing can be said." in texts
    assert "torchvision:resnet50@none with random weights" in texts


class TestNames:
    @pytest.mark.parametrize("names", [HOSTILE, HOSTILE[::-1]], ids=["forth", "back"])
    def test_hostile_names_make_no_element_and_do_not_change_the_title(self, names, tame):
        assert len(comparison().scores) >= len(HOSTILE) - 4
        page = Page(compare_report(hostile_comparison(names)))
        assert elements(page) == elements(tame)
        assert page.text_of("title") == tame.text_of("title")
        assert page.text_of("script") == tame.text_of("script")

    def test_hostile_ids_make_no_element_in_a_run(self):
        tame, page = (Page(bench_report(run(name))) for name in ("tame", HOSTILE[0] + HOSTILE[1] + "$\\frac{"))
        assert elements(page) == elements(tame)
        assert page.text_of("title") == tame.text_of("title")

    def test_without_escaping_the_test_fails(self, monkeypatch, tame):
        careless = _html.environment().overlay(autoescape=False)
        monkeypatch.setattr(_html, "environment", lambda: careless)
        text = compare_report(hostile_comparison(HOSTILE[:1]))
        assert "<img src=x onerror=alert(1)>" in text

    def test_invisible_characters_are_shown_as_such(self):
        text = compare_report(hostile_comparison(["a\0b\u202ec"]))
        assert "a\ufffdb\ufffdc" in text
        assert not {"\0", "\u202e"} & set(text)


class TestPrivacy:
    SECRETS = ("/home/ada", "C:\\Users\\ada", "/srv/secret", "ada")

    def test_no_absolute_path_leaves_in_a_comparison(self):
        result = comparison()
        config = replace(result.config, image="/home/ada/photos/dog.jpg", mask="/home/ada/m.png",
                         methods="rise:grid=/home/ada/g.npy",
                         baseline="image:/srv/secret/b.png", segments="C:\\Users\\ada\\labels.png")  # fmt: skip
        note = "FileNotFoundError: [Errno 2] No such file: '/home/ada/x y/z.pt' (see /srv/secret/log)"
        text = compare_report(replace(result, config=config, scores=[replace(s, note=note) for s in result.scores]))
        assert not [s for s in self.SECRETS[:3] if s in text]
        for name in ("dog.jpg", "m.png", "…/g.npy", "image:b.png", "labels.png"):
            assert name in text

    def test_no_absolute_path_leaves_in_a_run(self):
        traceback = 'Traceback\n  File "/home/ada/lib/x.py", line 3'
        failures = [{"image_id": "image 1", "method": "lime", "where": "failed", "traceback": traceback,
                     "note": "OSError: /srv/secret/weights.pt"}]  # fmt: skip
        manifest = {"config": {"data": "/home/ada/set", "mask": "~/m.png"}, "host": "ada-laptop", "pid": 7,
                    "versions": {"torch": "2.13.0"}}  # fmt: skip
        text = bench_report(replace(run(), failures=failures, manifest=manifest))
        assert not [s for s in (*self.SECRETS[:3], "ada-laptop", "~/") if s in text]
        assert "OSError: …/weights.pt" in text


class TestNumbers:
    """Everything in the page's tables, again from the exported CSV with pandas and SciPy."""

    def test_means_and_intervals(self, exported, tables):
        for number, metric in enumerate(("srg", "deletion", "insertion", "gini")):
            for method, baseline, mean, low, high, sd, images, undefined in tables[f"score-{number}"][1:]:
                rows = exported[(exported.metric == metric) & (exported.method == method)
                                & (exported.baseline == baseline)]  # fmt: skip
                of_images = rows.groupby("image_id")["value"].mean()
                half = student.ppf(0.975, 5) * of_images.std(ddof=1) / np.sqrt(6)
                expected = [
                    of_images.mean(),
                    of_images.mean() - half,
                    of_images.mean() + half,
                    rows["value"].std(ddof=1),
                ]
                np.testing.assert_allclose([mean, low, high, sd], expected, rtol=1e-9, atol=1e-12)
                assert (images, undefined) == (6, 0)
            assert len(tables[f"score-{number}"]) == 1 + 5 * 2

    def test_pairs_and_their_corrected_tests(self, exported, tables):
        for baseline in ("zero", "blur"):
            rows = [row for row in tables["pairs-0"][1:] if row[2] == baseline]
            wide = exported[(exported.metric == "srg") & (exported.baseline == baseline)].pivot_table(
                index="image_id", columns="method", values="value", aggfunc="mean"
            )
            found = {}
            for a, b, _, difference, _, _, wins, _, p, p_holm, images in rows:
                assert difference == pytest.approx((wide[a] - wide[b]).mean())
                assert p == pytest.approx(wilcoxon(wide[a] - wide[b]).pvalue)
                assert wins == pytest.approx((wide[a] > wide[b]).mean())
                assert images == 6
                found[a, b] = p, p_holm
            ordered = sorted(found.values())
            largest = 0.0
            for step, (p, p_holm) in enumerate(ordered):
                largest = max(largest, min(1, p * (len(ordered) - step)))
                assert p_holm == pytest.approx(largest)
            assert len(found) == 10

    def test_sections_of_the_disagreement(self, tables):
        report = run().disagreement()
        own = report.beyond_noise
        own = own[(own.measure == "spearman") & (own["view"] == "pixels")]
        shown = pd.DataFrame(tables["section-beyond_noise"][1:], columns=tables["section-beyond_noise"][0])
        np.testing.assert_allclose(shown["agreement"].astype(float), own.agreement)
        np.testing.assert_allclose(shown["short by"].astype(float), own.excess)
        assert list(shown["real"]) == ["yes" if real else "no" for real in own.real]

    def test_scores_of_a_comparison(self):
        result, page = comparison(), Page(compare_text())
        head, *rows = page.tables["scores"]
        for row in rows:
            (score,) = (s for s in result.scores if s.name == row[0])
            assert row[head.index("SRG ↑")] == score.metrics["srg"]
            assert row[head.index("insertion ↑")] == score.metrics["insertion"]
        means = [row[1] for row in rows]
        assert means == sorted(means, reverse=True)

    def test_images_that_some_method_lacks_count_for_none(self):
        given = run()
        table = given.table()
        lacking = table[~((table.image_id == "image 2") & (table.method == "center"))]
        page = Page(bench_report(replace(given, rows=lacking)))
        assert {row[-2] for row in page.tables["score-0"][1:]} == {5.0}
        assert page.text_of("title") == "5 methods on 5 images"


class TestSize:
    def test_one_photo_and_20_methods_fit_into_a_megabyte_and_a_half(self):
        result, rng = comparison(), np.random.default_rng(0)
        from skimage.data import coffee

        pixels = coffee()[:224, :224]
        names = [f"method_{i}" for i in range(20)]
        scores = [replace(result.scores[0], name=name) for name in names]
        big = replace(
            result, scene=replace(result.scene, pixels=pixels, truth=None), scores=scores,
            maps={name: rng.normal(size=(224, 224)) for name in names},  # noise compresses worst
            curves={name: next(iter(result.curves.values())) for name in names},
            agreement=replace(result.agreement, names=tuple(names), matrix=rng.uniform(-1, 1, (20, 20)),
                              floor=np.ones(20), n_runs=(1,) * 20),
        )  # fmt: skip
        assert len(compare_report(big)) <= 1_500_000

    @pytest.mark.slow
    def test_a_hundred_images_fit_into_five_megabytes(self):
        rng = np.random.default_rng(0)
        methods = [f"method_{i}" for i in range(12)]
        maps = [{m: rng.normal(size=(8, 8)) for m in methods} for _ in range(20)]
        ids = [f"image_{i}" for i in range(20)]
        report = disagreement_report(maps, image_ids=ids, metrics=["spearman"], n_permutations=9)
        rows = [
            {"dataset": d, "model": "m", "baseline": "zero", "method": m, "seed": 0, "image_id": f"image_{i}",
             "metric": metric, "value": rng.normal(), "n_evals": 500}
            for d in ("one", "two") for m in methods for i in range(50) for metric in ("srg", "deletion", "insertion")
        ]  # fmt: skip
        pictures = {i: (rng.integers(0, 255, (224, 224, 3), np.uint8),
                        {m: rng.normal(size=(224, 224)) for m in methods}) for i in ids}  # fmt: skip
        text = bench_report(FakeRun(pd.DataFrame(rows), report, pictures, [], {}))
        assert text.count("<img") >= 100
        assert len(text) <= 5_000_000


def test_a_run_of_one_method_says_why_nothing_is_compared():
    given = run()
    rows = given.table()

    class Alone(FakeRun):
        def disagreement(self):
            return disagreement_report([])

    text = bench_report(Alone(rows[rows.method == "rise"], None, {}, [], {}))
    assert "there is nothing to report" in text
    assert "There is one method only." in text


def test_a_run_without_a_finished_image_is_refused():
    with pytest.raises(ValueError, match=r"nothing to report: no image is finished .* fix: continue the run"):
        bench_report(replace(run(), rows=run().table()[:0]))
