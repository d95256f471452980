"""The documentation site: the repository's own documents at their own places, so that one link serves here and there.

`sphinx-build -W --keep-going -c docs . build/docs` makes it, with what is in `docs/requirements.txt`.
"""

from huidurep_sorter import __version__

project = "huidurep-sorter"
author = "The huidurep-sorter maintainers"
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]
root_doc = "README"
include_patterns = ["*.md", "docs/**", "examples/*.ipynb", "weights/*.md", "benchmarks/*.md"]
exclude_patterns = ["docs/site"]
nb_execution_mode = "off"  # notebooks are committed with their output, which tests check
myst_heading_anchors = 4
suppress_warnings = ["myst.xref_missing"]  # of `<a id="units-7">`; tests/test_docs.py checks all links
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL08", "PR01", "PR02", "PR03", "PR10"}  # all that is public says all its parameters
numpydoc_validation_exclude = {  # what these take is no argument of theirs, or is in docs/parameters.md
    r"\.(HuidurepSorter|SortingParameters|JobKwargs|ComputeHuidurepEmbeddings|TrackedUnits)$"
}
smartquotes = False  # quotes are part of values
default_role = "code"  # a name between single backticks
autodoc_typehints = "none"  # types stand in the docstrings, with shapes and units

html_theme = "pydata_sphinx_theme"
html_title = f"huidurep-sorter {release}"
html_additional_pages = {"index": "index.html"}
templates_path = ["site"]
html_static_path = ["site/style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_theme_options = {
    "header_links_before_dropdown": 8,
    "navbar_persistent": [],
    "navbar_end": ["search-button", "theme-switcher"],
    "show_prev_next": False,
}

NAVIGATION = {
    "README": [
        "docs/tutorials",
        "docs/how_it_works",
        "docs/parameters",
        "Many sessions </docs/many_sessions>",
        "docs/api",
        "docs/benchmark",
        "docs/experiments/README",
        "CHANGELOG",
        "CONTRIBUTING",
    ],
    "docs/tutorials": [
        "Quickstart </examples/quickstart>",
        "Compare sorters </examples/compare_sorters>",
        "Follow units across days </examples/follow_units>",
    ],
    "docs/benchmark": ["Encoder fast </weights/fast>", "Encoder base </weights/base>", "Speed </benchmarks/README>"],
    "docs/experiments/README": [
        "Traces <traces>",
        "Spikes <spikes>",
        "Templates <templates>",
        "Units <units>",
        "Encoder <encoder>",
        "Sorters <sorters>",
        "What failed </docs/rejected>",
    ],
}
# No empty column where nothing is below a document.
html_sidebars = {name: [] for name in NAVIGATION["README"] if name not in NAVIGATION}


def add_navigation(app, name, source):
    """Append the entries below a document to it; where the repository is hosted they would be shown as text."""
    if name in NAVIGATION:
        source[0] += "\n\n```{toctree}\n:hidden:\n\n" + "\n".join(NAVIGATION[name]) + "\n```\n"


def setup(app):
    """Connect what is ours with Sphinx."""
    app.connect("source-read", add_navigation)
