"""What pages say can be typed: commands have these options, imports are there, generated parts are whole."""

import ast
import re
import shlex
import sys

import pytest

from detr_kit.cli import build_parser
from detr_kit.engine.config_check import top_level_keys

from .markdown import python_blocks
from .places import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import docs_pages

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


def ids(path):
    return str(path.relative_to(ROOT))


def whole_commands(path, text):
    """The `detr-kit …` lines of a page's blocks, or of a script's comments, as arguments."""
    if path.suffix == ".md":
        blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    else:
        blocks = re.findall(r"^[# ]*(detr-kit .*)$", text, re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").replace(" CELLS", " a.b=1").splitlines()
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] == ["detr-kit"]:
            yield words[1:]


def mentioned_options(text):
    """(command, option) of what is said in passing: `detr-kit train --data`."""
    for command in re.findall(r"`detr-kit ([^`]*)`", text):
        for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", command):
            yield command.split()[0], option


def options_of(command):
    (commands,) = (action for action in build_parser()._actions if isinstance(action.choices, dict))
    return commands.choices[command]._option_string_actions if command in commands.choices else {}


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=ids)
def test_commands_have_these_options(path, capsys):
    text = path.read_text(encoding="utf-8")
    for arguments in whole_commands(path, text):
        if "…" in arguments:
            continue
        try:
            build_parser().parse_args(arguments)
        except SystemExit as exit:
            if exit.code:
                pytest.fail(f"detr-kit {shlex.join(arguments)}\n{capsys.readouterr().err}")
    for command, option in mentioned_options(text):
        assert option in options_of(command), f"detr-kit {command} {option}"


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_what_python_blocks_import_is_there(path):
    for block in python_blocks(path):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("detr_kit"):
                exec(compile(ast.Module([node], []), str(path), "exec"), {})


def test_every_top_level_key_of_a_config_is_explained():
    table = (ROOT / "docs" / "config.md").read_text().split("## Top-level keys")[1].split("## Parts")[0]
    explained = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|(.*?)\|", table, re.MULTILINE))))
    assert explained == top_level_keys()


def test_every_argument_of_every_part_of_a_config_is_explained():
    parts = docs_pages.config_parts()
    assert {"DETR", "DINO", "CocoDataset", "ResizeShortestSide", "EMAHook", "CocoMetric"} <= {
        part.name for part in parts
    }
    silent = {
        f"{part.name}.{name}" for part in parts for name, (_, text) in part.arguments.items() if not text
    }
    assert silent == set()
    assert not [part.name for part in parts if not part.purpose]


def test_the_page_of_errors_has_every_message_of_the_source():
    page = docs_pages.errors_page()
    for message in ("there is no setting", "class_names: a ", "is not in the ground truth; is it another"):
        assert message.replace("_", r"\_").split(";")[0] in page
    rooms = {error.room for error in docs_pages.error_texts()}
    assert rooms <= set(docs_pages.ROOMS)
    found = sum(len(re.findall(r"\bInputError\(", p.read_text())) for p in docs_pages.PACKAGE.rglob("*.py"))
    assert len(docs_pages.error_texts()) > 0.9 * found  # others hand on what somebody else said


def test_generated_parts_stand_where_pages_ask_for_them():
    page = docs_pages.on_page_markdown("before\n\n<!-- generated: errors -->\n\nafter")
    assert page.startswith("before")
    assert "## Data" in page
    assert "generated:" not in page
