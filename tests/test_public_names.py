"""The flat public names: all there, said in three places that agree, and loaded only when used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minis2s


@pytest.mark.parametrize("name", minis2s.__all__)
def test_every_public_name_is_there(name):
    assert getattr(minis2s, name) is not None
    assert name in dir(minis2s)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="minis2s.*LSTN"):
        minis2s.LSTN  # noqa: B018


def test_the_table_the_list_and_the_block_for_editors_agree():
    tree = ast.parse(Path(minis2s.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    for_editors = {
        alias.name: node.module.removeprefix("minis2s").lstrip(".")
        for node in block.body
        for alias in node.names
    }
    assert for_editors == {**minis2s.HOME, **dict.fromkeys(minis2s.MODULES, "")}
    assert sorted(minis2s.__all__) == sorted([*for_editors, "__version__"])
    assert len(set(minis2s.__all__)) == len(minis2s.__all__)


def test_star_import_and_submodules_work():
    code = (
        "from minis2s import *; import minis2s.train.loop;"
        "assert LSTM is minis2s.nn.LSTM and Trainer is minis2s.train.loop.Trainer and functional.OPS"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_version_is_that_of_the_project():
    import tomllib

    project = Path(minis2s.__file__).parents[1] / "pyproject.toml"
    assert minis2s.__version__ == tomllib.loads(project.read_text())["project"]["version"]
