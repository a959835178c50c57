"""Finding configs and bases by name, and modules beside them."""

import shutil
import sys

import pytest

from detr_kit import config as configs
from detr_kit.cli import main
from detr_kit.config import config_dir, find_config, read_config
from detr_kit.errors import InputError


@pytest.fixture
def write(tmp_path):
    """Writes files into a folder of the test's own, by default a config; gives the last one's path."""

    def write_files(text, name="my_set.py", **modules):
        for module, code in modules.items():
            (tmp_path / f"{module}.py").write_text(code)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    yield write_files
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


NAMES = [
    "deformable_detr_r50",
    "deformable_detr_r50.py",
    "configs/deformable_detr_r50.py",
    "../configs/deformable_detr_r50.py",
    "detr_kit::deformable_detr_r50",
    "detr_kit::configs/deformable_detr_r50.py",
    "::deformable_detr_r50",
]


@pytest.mark.parametrize("installed", [False, True], ids=["source tree", "wheel"])
@pytest.mark.parametrize("name", NAMES)
def test_a_base_is_found_by_a_shipped_name_from_anywhere(name, installed, write, tmp_path, monkeypatch):
    if installed:
        shutil.copytree(config_dir(), tmp_path / "site" / "_configs")
        monkeypatch.setattr(configs, "_CONFIG_DIRS", (tmp_path / "nowhere", tmp_path / "site" / "_configs"))
    monkeypatch.chdir("/")
    config = read_config(write(f"_base_ = {name!r}\nmodel = dict(network=dict(num_classes=3))\n"))
    assert config.model.network.num_classes == 3
    assert config.model.network.type == "DeformableDETR"
    assert config.train_cfg.max_epochs == 50
    assert find_config(name).is_file()


def test_parts_of_the_shipped_configs_are_bases_too(write):
    assert (
        read_config(write('_base_ = ["_base_/runtime.py", "::_base_/detr_schedule"]')).train_cfg.max_epochs
        == 300
    )


def test_a_file_beside_the_config_comes_before_a_shipped_name(write):
    write("own = 1", name="configs/deformable_detr_r50.py")
    assert read_config(write('_base_ = "configs/deformable_detr_r50.py"')).own == 1


@pytest.mark.parametrize(
    "base", ["deformable_detr_r5", "detr_kit::deformable_detr_r5", "/no/deformable_detr_r50.py"]
)
def test_a_base_that_is_not_there_is_named_with_the_nearest(base, write):
    with pytest.raises(
        InputError, match=rf"my_set.py: _base_ of .*{base}.*did you mean 'deformable_detr_r50'"
    ):
        read_config(write(f"_base_ = {base!r}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1 / 0", "ZeroDivisionError"),
        ("a = (", "SyntaxError"),
        ("_base_ = []\nimport no_such_module_of_a_test", "ModuleNotFoundError"),
        ("_base_ = 'my_set.py'", "it inherits from itself"),
    ],
)
def test_a_config_that_fails_is_one_message(text, message, write, capsys):
    assert main(["train", str(write(text))]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "my_set.py" in error
    assert error.count("\n") == 1


def test_a_config_in_another_encoding_is_one_message(write):
    path = write("")
    path.write_bytes("a = 'Äpfel'".encode("latin1"))
    with pytest.raises(InputError, match=r"my_set.py: it cannot be read: UnicodeDecodeError"):
        read_config(path)


def _importing(*modules):
    return f"custom_imports = dict(imports={list(modules)})"


def test_modules_beside_a_config_are_imported_and_their_folder_leaves_the_path(write, tmp_path):
    path = write(
        _importing("beside_a"), beside_a="import beside_b\nvalue = beside_b.value", beside_b="value = 3"
    )
    before = list(sys.path)
    assert read_config(path).custom_imports.folders == [str(tmp_path)]
    assert sys.modules["beside_a"].value == 3
    assert sys.path == before
    read_config(path)


def test_modules_beside_a_base_are_found_from_a_config_elsewhere(write):
    write(_importing("beside_base"), name="base.py", beside_base="value = 4")
    read_config(write('_base_ = "../base.py"', name="sub/my_set.py"))
    assert sys.modules["beside_base"].value == 4


def test_modules_in_folders_are_named_with_dots(write):
    write("value = 5", name="inner/part.py")
    read_config(write(_importing("inner.part")))
    assert sys.modules["inner.part"].value == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_importing("no_such_part"), "no module 'no_such_part' in .*; put no_such_part.py beside the config"),
        (_importing("no.such.part"), "no module 'no.such.part' in .*put no/such/part.py"),
        (_importing("good_part.py"), "write 'good_part', a module's name"),
        (_importing("bad_name"), r"bad_name.py, line 2: NameError: name 'undefined' is not defined"),
        (_importing("bad_syntax"), r"bad_syntax.py, line 1: SyntaxError"),
        (
            _importing("bad_needs"),
            r"bad_needs.py, line 1: ModuleNotFoundError: No module named 'not_installed'",
        ),
        (_importing("bad_exit"), r"bad_exit.py, line 1: SystemExit: 3"),
        (_importing("bad_inner"), r"bad_name.py, line 2: NameError"),
        ("custom_imports = ['good_part']", r"write custom_imports = dict\(imports="),
        ("custom_imports = dict(imports=[3])", r"write custom_imports = dict\(imports="),
        ("custom_imports = 'good_part'", r"write custom_imports = dict\(imports="),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_message(text, message, write):
    path = write(
        text,
        good_part="",
        bad_name="a = 1\nundefined",
        bad_syntax="def (",
        bad_needs="import not_installed",
        bad_exit="raise SystemExit(3)",
        bad_inner="import bad_name",
    )
    with pytest.raises(InputError, match=rf"config .*my_set.py: custom_imports.*{message}") as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_a_module_may_be_missing_where_the_config_says_so(write):
    text = 'custom_imports = dict(imports=["no_such_part"], allow_failed_imports=True)'
    with pytest.warns(UserWarning, match="no module 'no_such_part'"):
        read_config(write(text))


@pytest.mark.parametrize("shared", ["the_part", "the_helper"])
def test_modules_of_one_name_from_two_folders_are_never_mixed(shared, write):
    names = {"part": "part_one", "helper": "helper_one"}
    names[shared.removeprefix("the_")] = shared
    first = f"import {names['helper']}"
    read_config(write(_importing(names["part"]), **{names["part"]: first, names["helper"]: ""}))
    other = {"part": "part_two", "helper": "helper_two"} | {shared.removeprefix("the_"): shared}
    write(f"import {other['helper']}", name=f"sub/{other['part']}.py")
    write("", name=f"sub/{other['helper']}.py")
    with pytest.raises(
        InputError, match=rf"sub/{shared}.py is meant, and in this process '{shared}' is .*already"
    ):
        read_config(write(_importing(other["part"]), name="sub/my_set.py"))
