"""Sphinx settings of the documentation; built by ``make docs``, where a warning is an error."""

import os
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("MPLBACKEND", "agg")

project = "xai_ext"
author = "the xai_ext authors"
copyright = "the xai_ext authors, MIT licence"
release = version = import_module("xai_ext").__version__  # of the folder above, put on the path here

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "pages",
]
exclude_patterns = ["_build", "auto_examples/*.md5", "auto_examples/*.ipynb", "auto_examples/*.py"]
templates_path = ["_templates"]
default_role = "py:obj"
nitpicky = False
suppress_warnings = [
    "config.cache",  # examples are not pickled between builds
    "ref.python",  # `base_value` is a name of several classes; it stays plain text then
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say more than the types
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"^((?!plot_).)*$",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib",),
    "min_reported_time": 1,
    "plot_gallery": os.environ.get("XAI_EXT_DOCS_GALLERY", "1") == "1",
}

html_theme = "furo"
html_title = "xai_ext"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
