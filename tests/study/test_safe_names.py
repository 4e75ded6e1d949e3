"""Ids and class names of strangers become files and cells."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai_ext.study._safe_names import csv_cell, csv_text, file_name, path_below, write_csv

HOSTILE = [
    "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "../../x", "/etc/passwd", "a\0b",
    "\u202eabc\u202c", "x" * 300, "CON", "con.txt", "=1+1", "", ".", "..", ".hidden", "-rf", "a/b", "a\\b", "C:x",
    "name.", "naïve", "\ud800",
]  # fmt: skip


class TestFileNames:
    @pytest.mark.parametrize("text", HOSTILE)
    def test_a_hostile_id_names_a_plain_file_in_its_folder(self, text, tmp_path):
        name = file_name(text, ".png")
        assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
        assert name[0] not in ".-"
        assert name.split(".")[0].lower() not in ("con", "nul")
        assert len(name) <= 3 + 80 + 13 + 4
        path_below(tmp_path, name).write_text("x")
        assert [p.name for p in tmp_path.iterdir()] == [name]

    @pytest.mark.parametrize("text", ["coffee", "n01440764_10026", "photo-1.JPEG", "x" * 80])
    def test_a_plain_id_stays_as_it_is(self, text):
        assert file_name(text) == text

    @given(st.text(max_size=100), st.text(max_size=100))
    def test_two_ids_never_share_a_file(self, a, b):
        assert (file_name(a) == file_name(b)) == (a == b)

    def test_an_id_that_looks_like_another_ones_file_gets_a_file_of_its_own(self):
        taken = file_name("a/b")
        assert file_name(taken) != taken

    def test_long_ids_of_one_beginning_differ(self):
        assert file_name("x" * 300) != file_name("x" * 301)


class TestPathBelow:
    @pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", ".", ""])
    def test_a_path_that_leaves_the_folder_is_refused(self, name, tmp_path):
        with pytest.raises(ValueError, match="does not stay in the output folder"):
            path_below(tmp_path, name)

    def test_links_are_not_followed(self, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "inner").mkdir()
        (tmp_path / "out" / "file.csv").symlink_to(tmp_path / "precious")
        (tmp_path / "out" / "folder").symlink_to(tmp_path / "out" / "inner")
        for parts in (["file.csv"], ["folder", "x.csv"]):
            with pytest.raises(ValueError, match="does not stay"):
                path_below(tmp_path / "out", *parts)

    def test_the_folder_itself_may_be_reached_through_a_link(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        assert path_below(tmp_path / "link", "a", "x.csv") == tmp_path / "link" / "a" / "x.csv"


class TestCells:
    @pytest.mark.parametrize(
        "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "\uff1d1+1", "-"]
    )
    def test_a_formula_becomes_text(self, text):
        assert csv_cell(text) == "'" + text

    @pytest.mark.parametrize("text", ["-1.5", "+3", "-1e-5", "coffee", "a=b", "", "-.5"])
    def test_numbers_and_words_stay(self, text):
        assert csv_cell(text) == text

    def test_numbers_keep_all_their_digits(self):
        values = [0.1 + 0.2, -1 / 3, np.float64(1e-300), np.float32(0.5), 7, np.int64(-7), -np.inf]
        assert [float(csv_cell(v)) for v in values] == [float(v) for v in values]
        assert [csv_cell(v) for v in (np.nan, None, True)] == ["", "", "True"]

    def test_a_table_is_read_back_by_pandas_and_the_csv_module(self, tmp_path):
        table = pd.DataFrame({"id": ['a,"b"', "two\nlines", "a\0b"], "=x": [1.5, np.nan, -2.0]})
        again = pd.read_csv(write_csv(table, tmp_path / "t.csv"))
        assert list(again.columns) == ["id", "'=x"]
        assert list(again["id"]) == ['a,"b"', "two\nlines", "a\ufffdb"]
        np.testing.assert_array_equal(again["'=x"], table["=x"])
        rows = list(csv.reader(io.StringIO((tmp_path / "t.csv").read_text(encoding="utf-8"), newline="")))
        assert rows[2] == ["two\nlines", ""]

    def test_no_line_of_any_table_starts_a_formula(self):
        text = csv_text(["a"], [[v] for v in HOSTILE[:-1]])
        for (cell,) in filter(None, csv.reader(io.StringIO(text, newline=""))):
            assert not cell.strip().startswith(tuple("=+-@"))
