"""The documents: what they link to is there, what the code cites is written down, and the test command stands."""

import io
import re
import tokenize
from pathlib import Path

import pytest

import huidurep_sorter

ROOT = Path(__file__).parents[1]  # the documents lie in the repository, not in an installed package
TEST_COMMAND = 'python3 -m venv .venv && .venv/bin/pip install ".[test]" && .venv/bin/python -m pytest'
EXPERIMENT = re.compile(r"\b(?:traces|spikes|templates|units|encoder|sorters)-\d+\b")
LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?\)")


def documents():
    """Every document that people read, in the order of their paths."""
    fixed = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")]
    return fixed + sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "weights").glob("*.md"))


def without_code(text):
    """The text of a document without what it shows as code."""
    return re.sub(r"`[^`\n]*`", "code", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))


def slug(heading):
    """The anchor that GitHub gives to a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(path):
    """The places of a document that a link can name."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf8"), flags=re.M | re.S)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)} | set(
        re.findall(r'<a id="([^"]+)"', text)
    )


def broken_links(path):
    """The relative links of a document that lead nowhere, or out of the repository."""
    broken = []
    for link in LINK.findall(without_code(path.read_text("utf8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or not target.is_relative_to(ROOT.resolve()):
            broken.append(link)
        elif anchor and anchor not in anchors(target):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    assert broken_links(path) == []


def test_broken_links_are_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "other.md").write_text('# A heading: it\'s `one`\n\n<a id="units-7"></a>\n', "utf8")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) ![b](none.png) [c](other.md#units-7) [d](other.md#units-8) [e](#none) [f](https://none.org)\n"
        "[g](other.md#a-heading-its-one) `[h](none.md)`\n\n```\n[i](none.md)\n```\n\n[j](..)\n",
        "utf8",
    )
    assert broken_links(page) == ["none.png", "other.md#units-8", "#none", ".."]


def written_experiments():
    """The numbers of the experiments that have a heading."""
    texts = [path.read_text("utf8") for path in (ROOT / "docs" / "experiments").glob("*.md")]
    return set(re.findall(rf"^## ({EXPERIMENT.pattern}):", "\n".join(texts), re.M))


def cited_experiments(source):
    """The experiments that comments and docstrings of a source name, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            for name in EXPERIMENT.findall(token.string):
                yield name, token.start[0]


def test_experiments_that_the_code_names_are_written_down():
    written, n_cited = written_experiments(), 0
    for path in sorted((ROOT / "src").rglob("*.py")):
        for name, line in cited_experiments(path.read_text("utf8")):
            n_cited += 1
            assert name in written, f"{path.relative_to(ROOT)}, line {line}: no entry {name} in docs/experiments"
    assert n_cited > 0 and len(written) > 100


def test_the_readme_has_the_test_command_on_a_line_of_its_own():
    lines = (ROOT / "README.md").read_text("utf8").splitlines()
    assert next(line for line in lines if "-m pytest" in line) == TEST_COMMAND  # CI runs the first such line


def test_the_api_page_has_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text("utf8")
    shown = set(re.findall(r"^\.\. auto\w+:: huidurep_sorter\.(\w+)(?:\(\))?$", page, re.M))
    assert shown == set(huidurep_sorter.__all__) - {"__version__"}
