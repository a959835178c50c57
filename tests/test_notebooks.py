"""The notebooks run from top to bottom, here in this process and without Jupyter."""

import ast
import json

import pytest

from .places import ROOT


def run_notebook(path):
    """Run the cells in one namespace, which is returned, with the value of each cell that ends in one."""
    names, values = {"__name__": "__main__"}, []
    for number, cell in enumerate(json.loads(path.read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]), f"{path.name}, cell {number}")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{path.name}, cell {number}", "exec"), names)
        if last is not None:
            values.append(eval(compile(ast.Expression(last.value), path.name, "eval"), names))
    return names, values


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def is_picture(value):
    return getattr(value, "_repr_png_", bytes)()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_fine_tune():
    names, values = run_notebook(ROOT / "examples" / "fine_tune.ipynb")
    assert names["report"].count("error") == 0
    assert [row["epoch"] for row in names["history"]] == [1, 2, 3]
    assert names["figures"]["AP"] > 0.3
    assert names["result"].figures["AP"] == pytest.approx(names["figures"]["AP"], abs=1e-6)
    assert any(map(is_picture, values))
    assert {"best.pth", "config.py", "results.csv", "curves.png"} <= set(values[-1])


def test_explain():
    names, values = run_notebook(ROOT / "examples" / "explain.ipynb")
    assert sum(map(is_picture, values)) == 3  # detections, the explanation, an earlier layer of it
    assert names["weights"].sum().item() == pytest.approx(4, abs=1e-4)  # one a head


@pytest.mark.parametrize("name", ["fine_tune", "explain"])
def test_notebooks_are_kept_without_output(name):
    cells = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
