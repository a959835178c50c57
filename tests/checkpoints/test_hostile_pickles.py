"""Pickles from strangers: whatever one is made to do, tensors beside it are read and nothing is done."""

import functools
import importlib
import operator
import os
import subprocess
import sys
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from detr_kit.checkpoints import read_checkpoint
from detr_kit.checkpoints.inert_pickle import Placeholder, PlainDict, read_inert
from detr_kit.errors import InputError


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _attacks(marker: Path) -> dict[str, object]:
    """What a pickle can be made to do, each with the marker as its trace."""
    python = f"open({str(marker)!r}, 'w')"
    return {
        "os.system": Call(os.system, f"touch {marker}"),
        "builtins.eval": Call(eval, python),
        "builtins.exec": Call(exec, python),
        "builtins.open": Call(open, str(marker), "w"),
        "getattr": Call(functools.partial(getattr, marker), "touch"),
        "functools.partial": Call(functools.partial(Path.touch, marker)),
        "operator": Call(operator.methodcaller("touch"), marker),
        "subprocess": Call(subprocess.check_call, ["touch", str(marker)]),
        "import": Call(importlib.import_module, "antigravity"),
        "torch.load": Call(torch.load, str(marker.with_name("inner.pth")), None, None),
        "torch.hub": Call(torch.hub._import_module, "inner", str(marker.with_name("inner.py"))),
        "map": Call(list, Call(map, eval, [python])),
        "state": Call(Call, Path.touch, marker),
    }


def _modules() -> set[str]:
    """What is imported; zipfile looks up encodings of names."""
    return {name for name in sys.modules if not name.startswith("encodings.")}


@pytest.mark.parametrize("attack", _attacks(Path("marker")))
@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "legacy"])
def test_tensors_are_read_beside_an_attack_that_is_not_run(tmp_path, attack, legacy):
    marker = tmp_path / "was_run"
    (tmp_path / "inner.py").write_text(f"open({str(marker)!r}, 'w')\n")
    torch.save(Call(Path.touch, marker), tmp_path / "inner.pth")
    content = {"attack": _attacks(marker)[attack], "model": {"a": torch.ones(3)}}
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=not legacy)
    before = _modules()
    assert read_checkpoint(tmp_path / "evil.pth").state_dict["a"].tolist() == [1, 1, 1]
    assert not marker.exists()
    assert _modules() == before


# Pickles that no `__reduce__` makes, in the language itself; each ends with {"a": 1} or fails.
_BY_HAND = {
    "a name with dots": b"\x80\x04\x8c\x03sys\x8c\x0emodules.values\x93)R0}.",
    "a dotted name of a module": b"\x80\x04\x8c\x07pathlib\x8c\x0aPath.touch\x93(X\x04\x00\x00\x00MARKtR0}.",
    "attributes of a stand-in": b"ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__K\x01sb0}.",
    "attributes of a class": b"ccollections\nOrderedDict\nN}X\x06\x00\x00\x00updateK\x01s\x86b0}.",
    "attributes of a placeholder": b"cos\nsystem\n}X\x08\x00\x00\x00__call__K\x01sb0}.",
    "attributes of a type": b"ctorch\nfloat32\n}X\x01\x00\x00\x00aK\x01sb0}.",
    "an instance": b"(S'touch MARK'\nios\nsystem\n0}.",
    "an object": b"(cos\nsystem\nS'touch MARK'\no0}.",
    "a reference": b"S'MARK'\nQ0}.",
    "a registered extension": b"\x82\x01)R0}.",
    "a tensor of nothing": b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x01K\x01K\x01tR0}.",
    "a subclass of a call": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nN(S'touch MARK'\nttR0}.",
}


@pytest.mark.parametrize("name", _BY_HAND)
def test_the_language_of_pickles_leads_to_nothing(tmp_path, name):
    marker = tmp_path / "m"
    line = str(marker).encode()
    pickled = _BY_HAND[name].replace(b"X\x04\x00\x00\x00MARK", b"X" + len(line).to_bytes(4, "little") + line)
    pickled = pickled.replace(b"MARK", line)
    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("evil/data.pkl", pickled)
        archive.writestr("evil/version", "3\n")
    functions = [torch._utils._rebuild_tensor_v2, OrderedDict.update, Placeholder.__call__, PlainDict.update]
    codes = [getattr(function, "__code__", function) for function in functions]
    before = _modules()
    with pytest.raises(InputError, match=r"evil\.pth"):
        read_checkpoint(tmp_path / "evil.pth")  # there are no tensors in it
    with suppress(Exception):
        read_inert(tmp_path / "evil.pth")
    assert not marker.exists()
    assert [getattr(function, "__code__", function) for function in functions] == codes
    assert _modules() == before
    assert not hasattr(torch.float32, "a")
