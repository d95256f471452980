"""What is installed: weights with their cards and configs, versions, licences, types."""

import hashlib
import re
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import huidurep_sorter
from huidurep_sorter.__about__ import __version__
from huidurep_sorter.encoder import checkpoints
from huidurep_sorter.encoder.checkpoints import WEIGHTS_FOLDER, find_weights_folder, shipped_weights
from huidurep_sorter.encoder.small_networks import FOLDER, file_name
from huidurep_sorter.training.config import build, read_config, read_values
from huidurep_sorter.training.decisions import QUESTIONS, DecisionsConfig

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # where conda-forge's isn't PyPI's
CONFIGS = sorted(path for path in WEIGHTS_FOLDER.glob("*/*.yaml") if path.parent.name != "decisions")
GIT_SHOW = re.compile(r"git show (\w+):(\S+\.safetensors)")

GOOD = """
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from huidurep_sorter import Encoder, HuidurepSorter, __version__, embed_spikes, load_encoder, register

register()
version: str = __version__
name = HuidurepSorter.sorter_name
encoder: Encoder = load_encoder("fast", device="cpu")
other = load_encoder(Path("mine.safetensors"))
peaks = np.zeros(3, dtype=[("sample_index", "int64"), ("channel_index", "int64"), ("segment_index", "int64")])
features: NDArray[np.float32] = embed_spikes(None, peaks, encoder, preprocess=False, batch_size=64)
again: NDArray[np.float32] = encoder.embed(np.zeros((2, 121, 11)), offsets_um=np.zeros((11, 2)))
clean: NDArray[np.float32] = encoder.denoise(np.zeros((2, 121, 11)), 32)
width: int = encoder.config.n_features
"""

WRONG = """
import numpy as np

import huidurep_sorter
from huidurep_sorter import Encoder, embed_spikes, load_encoder, register

encoder = load_encoder(3)  # arg-type
embed_spikes(None, np.zeros(3, dtype=np.void), batch_size="all")  # arg-type
encoder.embed(np.zeros((2, 121, 11)), batch_size="all")  # arg-type
features: str = encoder.denoise(np.zeros((2, 121, 11)))  # assignment
register("sorters")  # arg-type
huidurep_sorter.load_decoder()  # attr-defined
"""


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["base", "fast"])
def test_a_card_states_the_sha256_of_its_own_file(name):
    card = (WEIGHTS_FOLDER / f"{name}.md").read_text()
    (stated,) = re.findall(r"^\| file \| `\w+\.safetensors`, sha256 `(\w{64})` \|$", card, flags=re.M)
    assert stated == sha256((WEIGHTS_FOLDER / f"{name}.safetensors").read_bytes())
    assert f"`{name}.safetensors`" in card


def test_every_config_beside_a_card_is_readable():
    assert {path.parent.name for path in CONFIGS} == set(shipped_weights()) == {"base", "fast"}
    for path in CONFIGS:
        assert read_config(path).data.footprints, path


def test_the_networks_that_decide_have_a_card_and_a_config():
    config = build(DecisionsConfig, read_values(FOLDER / "config.yaml"), "config.yaml")
    names = {file_name(question, features) for question in QUESTIONS for features in config.features}
    assert config.footprints and names == {path.name for path in FOLDER.glob("*.safetensors")}
    card = (FOLDER / "decisions.md").read_text()
    for path in FOLDER.glob("*.safetensors"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in card


def test_a_config_names_its_teacher_by_the_sha256_that_its_comment_gives():
    for path in CONFIGS:
        text = path.read_text()
        teacher = yaml.safe_load(text)["training"].get("teacher", "")
        if teacher and teacher != "teacher.safetensors":  # that one was not kept
            digits = re.fullmatch(r"fast-(\w{8})\.safetensors", teacher)[1]
            assert re.search(rf"sha256 {digits}\w{{56}}:\n#   git show .* > {teacher}\n", text), path


def earlier_weights():
    """Find what cards and configs say of earlier files, as (commit, path in it, sha256)."""
    for path in [*WEIGHTS_FOLDER.glob("*.md"), *CONFIGS]:
        lines = path.read_text().splitlines()
        for before, line in zip([""] + lines, lines, strict=False):
            for commit, file in GIT_SHOW.findall(line):
                (stated,) = re.findall(r"\b\w{64}\b", line if path.suffix == ".md" else before)
                yield commit, file, stated


def test_earlier_weights_can_be_had_from_the_history_as_stated():
    stated = set(earlier_weights())
    assert len(stated) == 6
    for commit, file, digest in stated:
        shown = subprocess.run(["git", "show", f"{commit}:{file}"], cwd=ROOT, capture_output=True)
        if shown.returncode:
            pytest.skip("this is no clone with the whole history")
        assert sha256(shown.stdout) == digest, (commit, file)


def test_weights_are_found_inside_of_a_wheel_and_at_the_top_of_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "src" / "huidurep_sorter"
    monkeypatch.setattr(checkpoints, "__file__", str(package / "encoder" / "checkpoints.py"))
    assert find_weights_folder() == tmp_path / "weights"
    (package / "weights").mkdir(parents=True)
    (package / "weights" / "fast.safetensors").touch()
    assert find_weights_folder() == package / "weights"


def test_there_is_one_version():
    assert huidurep_sorter.__version__ == __version__ == distribution("huidurep-sorter").version
    if (ROOT / "CITATION.cff").exists():
        assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


def test_both_licences_are_named_and_shipped():
    installed = distribution("huidurep-sorter")
    if "License-Expression" not in installed.metadata:
        pytest.skip("this was installed by a build backend that knows no licence expressions")
    assert installed.metadata["License-Expression"] == "MIT AND CC-BY-NC-SA-4.0"
    assert set(installed.metadata.get_all("License-File")) == {"LICENSE", "weights/LICENSE"}
    assert "CC BY-NC-SA 4.0" in (WEIGHTS_FOLDER / "LICENSE").read_text()


@pytest.fixture(scope="module")
def type_errors(tmp_path_factory):
    """Check two scripts of a user as strictly as mypy can; give the errors of both, by file."""
    if find_spec("mypy") is None:
        pytest.skip("mypy isn't installed")
    folder = tmp_path_factory.mktemp("types")
    for name, script in (("good", GOOD), ("wrong", WRONG)):
        (folder / f"{name}.py").write_text(script)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "good.py", "wrong.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert not done.stderr
    found = re.findall(r"^(\w+)\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, flags=re.M)
    return {name: [(int(line), code) for file, line, code in found if file == name] for name in ("good", "wrong")}


def test_a_type_checker_sees_the_public_names_and_their_types(type_errors):
    assert type_errors["good"] == []


def test_a_type_checker_finds_wrong_arguments_and_unknown_names(type_errors):
    expected = [(n, line.rsplit("# ")[1]) for n, line in enumerate(WRONG.splitlines(), 1) if "# " in line]
    assert len(expected) == 6 and type_errors["wrong"] == expected


def test_the_package_is_marked_as_typed():
    assert (Path(huidurep_sorter.__file__).parent / "py.typed").exists()


def read_pyproject():
    """Read pyproject.toml, for which Python 3.10 has no module."""
    return pytest.importorskip("tomllib").loads((ROOT / "pyproject.toml").read_text("utf8"))


def test_every_dependency_has_a_lower_bound():
    """Of which CONTRIBUTING.md says how it is tried."""
    configured = read_pyproject()
    project, groups = configured["project"], configured["dependency-groups"]
    required = [*configured["build-system"]["requires"], *project["dependencies"]]
    required += [text for extra in project["optional-dependencies"].values() for text in extra]
    required += [text for group in groups.values() for text in group if isinstance(text, str)]
    lines = (ROOT / "docs" / "requirements.txt").read_text("utf8").splitlines()
    required += [line for line in lines if not line.startswith("#")]
    unbounded = [text for text in required if not any(bound.operator == ">=" for bound in Requirement(text).specifier)]
    assert len(required) > 40 and unbounded == []


def test_the_extra_and_the_group_of_the_tests_are_the_same():
    configured = read_pyproject()
    assert configured["project"]["optional-dependencies"]["test"] == configured["dependency-groups"]["test"]


def test_the_conda_recipe_has_our_version_and_dependencies():
    project = read_pyproject()["project"]
    recipe = yaml.safe_load((ROOT / "conda" / "recipe" / "recipe.yaml").read_text("utf8"))
    assert recipe["context"]["version"] == __version__
    assert recipe["about"]["license"] == project["license"]
    assert recipe["about"]["license_file"] == project["license-files"]
    assert recipe["build"]["python"]["entry_points"] == [f"{k} = {v}" for k, v in project["scripts"].items()]
    expected = {"python": SpecifierSet(project["requires-python"])}
    for requirement in map(Requirement, project["dependencies"]):
        expected[CONDA_NAMES.get(requirement.name, requirement.name)] = requirement.specifier
    run = [line.split(" ", 1) for line in recipe["requirements"]["run"]]
    assert {name: SpecifierSet(bounds) for name, bounds in run} == expected


def test_what_the_dockerfile_copies_is_there_and_not_ignored():
    text = (ROOT / "Dockerfile").read_text("utf8")
    copied = {name for names in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.M) for name in names.split()}
    lines = (ROOT / ".dockerignore").read_text("utf8").splitlines()
    assert all((ROOT / name).exists() for name in copied)
    assert copied == {line[1:] for line in lines if line.startswith("!")}
    needed = [read_pyproject()["project"]["readme"], *read_pyproject()["project"]["license-files"]]
    assert {name.split("/")[0] for name in needed} <= copied


def test_forms_of_issues_ask_what_is_needed():
    forms = [yaml.safe_load(path.read_text("utf8")) for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")]
    assert {form["name"] for form in forms} == {"Bug", "Question", "Feature"}
    for form in forms:
        ids = [field["id"] for field in form["body"]]
        assert form["description"] and len(set(ids)) == len(ids)
        assert all(field["attributes"]["label"] for field in form["body"])
    (bug,) = [form for form in forms if form["name"] == "Bug"]
    required = {field["id"] for field in bug["body"] if field.get("validations", {}).get("required")}
    assert {"log", "version"} <= required
