"""A start in a second: what is imported when. The times are in docs/performance.md."""

import argparse
import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import detr_kit
from detr_kit.checkpoints.convert import FORMATS
from detr_kit.cli import COMMANDS, convert, data_arguments, detector_arguments, serve, test
from detr_kit.data.formats import SPLITS
from detr_kit.evaluation import METRIC_BACKENDS
from detr_kit.export.exported_detector import READERS
from detr_kit.export.options import ENDINGS
from detr_kit.fine_tune.preset import PRESETS
from detr_kit.fine_tune.recipe import RECIPES
from detr_kit.inference.detector import AUTO, HALF

ROOT = Path(__file__).resolve().parents[1]
NAMES = [command.__name__.rpartition(".")[2] for command in COMMANDS]
EXPORT = ["export", "--checkpoint", "builtin", "--format", "onnx", "-o", "a.onnx"]
CONVERT = ["convert", "builtin", "--to", "official", "-o"]

HELP = [["--help"], ["--version"], *([name, "--help"] for name in NAMES)]
TOOLS = [["tools/train.py", "--help"], ["tools/test.py", "--help"], ["tools/demo.py", "--help"]]
MISTAKES = [
    (["fly"], "invalid choice"),
    (["predict", "a.png", "--fly"], "unrecognized arguments"),
    (["predict", "a.png", "--score-threshold", "high"], "invalid float value"),
    (["predict"], "required"),
    (["predict", "a.png", "--score-threshold", "2"], "score_threshold=2.0; it must be in [0, 1]"),
    (["predict", "a.png", "--nms", "60"], "nms_iou_threshold=60.0; it must be in (0, 1]"),
    (["predict", "a.png", "--batch-size", "0"], "batch_size=0; it must be 1 or more"),
    (["predict", "a.png", "--checkpoint", "gone.pth"], "checkpoint gone.pth: no such file"),
    (["predict", "a.png", "--model", "detr_50", "--checkpoint", "builtin"], "did you mean 'detr_r50'?"),
    (["predict", "a.png", "--out", "a.png/out"], "a.png is a file, not a folder"),
    (["predict", "gone.png", "gone.mp4"], "gone.png: no such file or folder (nor gone.mp4)"),
    (["explain", "a.png", "--query", "-1"], "--query=-1; it must be 0 or more"),
    (["explain", "gone.png"], "gone.png: no such file or folder"),
    (["train"], "nothing to train"),
    (["train", "detr_50"], "did you mean 'detr_r50'?"),
    (["train", "detr_r50", "--data", "set"], "give one of them"),
    (["train", "detr_r50", "--accumulate", "0"], "accumulate=0; it must be at least 1"),
    (["train", "detr_r50", "--seed", "-1"], "seed=-1; it must be 0 or more"),
    (["train", "detr_r50", "--cfg-options", "lr"], "'lr': it must be KEY=VALUE"),
    (["train", "detr_r50", "--cfg-options", "a=[1,2"], "'[' and ']' do not match"),
    (["train", "detr_r50", "--resume", "gone.pth"], "--resume gone.pth: no such file"),
    (["train", "--data", "a.png", "--epochs", "0"], "--epochs 0: it must be larger than 0"),
    (["train", "--data", "gone"], "gone: no such file or folder"),
    (["train", "--data", "a.png", "--checkpoint", "gone.pth"], "--checkpoint gone.pth: no such file"),
    (["test", "detr_r50", "gone.pth"], "checkpoint gone.pth: no such file"),
    (["test", "builtin"], "builtin: on what?"),
    (["test", "--data", "gone", "builtin"], "gone: no such file or folder"),
    (["check", "detr_50"], "did you mean 'detr_r50'?"),
    (["check", "gone/set"], "gone/set: no such file or folder"),
    (["check", "a.png", "--num-queries", "0"], "--num-queries=0; it must be 1 or more"),
    (["check", "detr_r50", "--images", "."], "a config names its pictures itself"),
    ([*EXPORT, "--opset", "3"], "opset=3; it must be in [18, 23]"),
    ([*EXPORT, "--format", "tflite"], "it must be one of onnx, torch-export, aoti, openvino"),
    ([*EXPORT, "--int8"], "int8 needs calibration images"),
    ([*EXPORT, "--report", "gone/a.json"], "there is no folder gone"),
    ([*EXPORT, "--images", "gone"], "gone: no folder with images in it"),
    ([*EXPORT, "-o", "a.xml"], "a file of format onnx ends in .onnx"),
    ([*EXPORT, "--checkpoint", "gone.pth"], "checkpoint gone.pth: no such file"),
    ([*CONVERT, "a.bin"], "a checkpoint's name ends in .safetensors, .pth or .pt"),
    (["convert", "gone.pth", "--to", "official", "-o", "a.pth"], "checkpoint gone.pth: no such file"),
    (["benchmark", "--only", "fast"], "invalid choice: 'fast'"),
    (["benchmark", "--batch-size", "0"], "batch_size=0; it must be 1 or more"),
    (["benchmark", "--random-weights"], "--random-weights of which model?"),
    (["benchmark", "--file", "gone.onnx"], "gone.onnx: no such file"),
    (["benchmark", "--checkpoint", "builtin", "--json", "gone/a.json"], "there is no folder gone"),
    (["serve", "--port", "70000"], "--port=70000; it must be in [0, 65535]"),
    (["serve", "--max-batch", "0"], "--max-batch 0: it must be a number above zero"),
    (["demo", "--checkpoint", "gone.onnx"], "gone.onnx: no such file"),
]

# Runs each command line in one process, which imports nothing twice: what it has not imported at the end,
# none of them has.
RUN = """
import contextlib, io, json, runpy, sys
def strange():
    return sorted({name.partition(".")[0] for name in sys.modules.keys() - before} - known)
light = {"yaml", "_yaml", "cython_runtime", "_cython_3_3_1"}  # read the table of published names
before, known = set(sys.modules), {*sys.stdlib_module_names, "detr_kit", *light}
import detr_kit
told = [["import detr_kit", 0, "", strange()]]
import detr_kit.cli
for arguments in json.load(sys.stdin):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            if arguments[0].endswith(".py"):
                sys.argv = arguments
                code = runpy.run_path(arguments[0], run_name="__main__")
            else:
                code = detr_kit.cli.main(arguments)
        except SystemExit as end:
            code = end.code
    told.append([" ".join(arguments), code or 0, text.getvalue(), strange()])
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Command line -> exit code, what it wrote, and the packages of others that were imported by then."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "a.png").touch()
    (folder / "tools").symlink_to(ROOT / "tools")
    lines = json.dumps([*HELP, *TOOLS, *(line for line, _ in MISTAKES)])
    command = [sys.executable, "-c", RUN]
    output = subprocess.run(command, input=lines, cwd=folder, capture_output=True, text=True, check=True)
    return {name: rest for name, *rest in json.loads(output.stdout)}


def test_the_package_imports_nothing_of_others(told):
    assert told["import detr_kit"][2] == []


@pytest.mark.parametrize("line", [*HELP, *TOOLS], ids=" ".join)
def test_help_imports_nothing_of_others(told, line):
    code, text, strange = told[" ".join(line)]
    assert (code, strange) == (0, [])
    assert text.startswith("detr-kit 0." if line == ["--version"] else "usage: ")


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=lambda part: " ".join(part) if part else "")
def test_a_mistake_in_the_arguments_is_told_before_anything_is_imported(told, line, message):
    code, text, strange = told[" ".join(line)]
    assert (code, strange) == (2, [])
    assert message in text


def test_a_detector_brings_along_what_it_needs_and_no_more():
    code = "import json, sys, torch, torchvision; before = set(sys.modules); import detr_kit; "
    code += "detr_kit.Detector(checkpoint='builtin'); print(json.dumps(sorted(sys.modules.keys() - before)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(json.loads(output.stdout))
    packages = {name.partition(".")[0] for name in modules}
    assert not packages & {"matplotlib", "pandas", "scipy", "pycocotools", "transformers", "onnx",
                           "onnxruntime", "openvino", "starlette", "timm", "supervision"}  # fmt: skip
    assert not modules & {"mmengine.runner", "mmengine.model", "mmengine.hooks", "detr_kit.engine",
                          "detr_kit.losses", "detr_kit.evaluation", "detr_kit.data.formats.find"}  # fmt: skip


LAZY = sorted(
    path for path in Path(detr_kit.__file__).parent.rglob("__init__.py") if "lazy_names(" in path.read_text()
)


def _package(path):
    return import_module(".".join(path.parent.relative_to(ROOT).parts))


@pytest.mark.parametrize("path", LAZY, ids=lambda path: path.parent.name)
class TestLazyPackages:
    def test_its_names_are_there(self, path):
        package = _package(path)
        assert set(package.__all__) <= set(dir(package))
        for name in package.__all__:
            assert not isinstance(getattr(package, name), ModuleType), name
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            package.nonsense  # noqa: B018

    def test_type_checkers_see_the_same(self, path):
        tree = ast.parse(path.read_text())
        (branch,) = (node for node in tree.body if isinstance(node, ast.If))
        seen = {node.module: [alias.name for alias in node.names] for node in branch.body}
        (call,) = (node for node in ast.walk(branch) if getattr(node, "func", None) and
                   getattr(node.func, "id", "") == "lazy_names")  # fmt: skip
        assert ast.literal_eval(call.args[1]) == seen
        package = _package(path)
        assert sorted(package.__all__) == sorted(name for names in seen.values() for name in names)

    def test_no_name_is_a_modules(self, path):
        """Else the name would be the function or the module, by what was imported before."""
        package = _package(path)
        modules = {file.stem for file in path.parent.iterdir()}
        assert not modules & set(package.__all__)


def _choices(add, option):
    parser = argparse.ArgumentParser()
    add(parser)
    (action,) = (action for action in parser._actions if option in action.option_strings)
    return list(action.choices)


def _of_command(command):
    """The arguments of a command, added to a parser of their own."""
    return lambda parser: command.add_command(_Commands(parser))


class _Commands:
    def __init__(self, parser):
        self.parser = parser

    def add_parser(self, *_, **__):
        return self.parser


def test_choices_that_the_command_line_writes_out_are_those_that_there_are():
    assert _choices(data_arguments.add_data_arguments, "--preset") == [preset.name for preset in PRESETS]
    assert _choices(data_arguments.add_data_arguments, "--recipe") == [recipe.name for recipe in RECIPES]
    assert _choices(detector_arguments.add_detector_arguments, "--half") == [AUTO, *HALF]
    assert _choices(_of_command(serve), "--half") == [AUTO, *HALF]
    assert sorted(_choices(_of_command(convert), "--to")) == sorted(FORMATS)
    assert sorted(_choices(_of_command(test), "--split")) == sorted(SPLITS)
    assert sorted(_choices(_of_command(test), "--metric-backend")) == sorted(METRIC_BACKENDS)
    assert list(READERS) == list(ENDINGS)
