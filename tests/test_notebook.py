"""What a notebook shows of explanations and comparisons."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.study.report.parsed import Page
from tests.study.report.runs import comparison
from xai_ext.explanation import Explanation

LABELS = np.repeat(np.repeat([[0, 1], [2, 3]], 5, 0), 8, 1)


def explanation(values, **changes):
    values = np.asarray(values, float)
    outputs = np.zeros(values.shape[1:])
    given = Explanation(values, np.full(values.shape, 0.25), (LABELS,), outputs, outputs + values.sum(0), 32, "LIME")
    return replace(given, **changes)


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_the_picture_has_the_map_s_colours_in_the_map_s_places():
    shown = pixels(explanation([2.0, 0.0, -2.0, 0.0])._repr_png_())
    assert shown.shape[1] / shown.shape[0] == pytest.approx(1.6)
    height, width = shown.shape[:2]
    red, white, blue = shown[height // 4, width // 4], shown[height // 4, -width // 4], shown[-height // 4, width // 4]
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert white.min() > 240


def test_of_several_outputs_the_one_with_the_highest_score_is_shown():
    several = explanation([[0.0, 5.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    np.testing.assert_array_equal(pixels(several._repr_png_()), pixels(explanation([5.0, 0, 0, 0])._repr_png_()))
    assert "of output 1" in several._repr_html_()


def test_the_numbers_are_written():
    page = Page(explanation([1.0, 2.0, -0.5, 0.0])._repr_html_().replace("<table>", '<table id="t">'))
    facts = dict(page.tables["t"])
    assert facts == {"players": "4", "evaluations": "32", "f(x)": "2.5", "f(baseline)": "0", "sum of values": "2.5",
                     "largest value": "2", "largest standard error": "0.25"}  # fmt: skip
    (image,) = page.all("img")
    assert len(image["alt"]) >= 20
    assert pixels(base64.b64decode(image["src"].split(",")[1])).ndim == 3


def test_players_without_a_place_have_numbers_but_no_picture():
    tabular = explanation([1.0, 2.0], labels=(np.array([0, 1]),))
    assert tabular._repr_png_() is None
    assert "<img" not in tabular._repr_html_()


def test_a_hostile_estimand_is_escaped():
    assert "<b>" not in explanation([1.0, 0, 0, 0], estimand="<b>x")._repr_html_()


def test_a_comparison_shows_its_verdict_table_and_maps():
    result = comparison()
    text = result._repr_html_()
    page = Page(text)
    assert len(page.all("img")) == len(result.maps)
    assert [row[0] for row in page.tables["scores-0"][1:]] == sorted(
        result.maps, key=lambda n: -next(s.metrics["srg"] for s in result.scores if s.name == n)
    )
    assert re.findall("<script|<html|<body", text) == []
    assert "Explanation(" in repr(explanation([1.0, 0, 0, 0]))
