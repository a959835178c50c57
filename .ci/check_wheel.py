"""The package as a user gets it: sdist, a wheel built from it, and a clean environment outside the checkout.

    .venv/bin/python .ci/check_wheel.py [FOLDER]     # FOLDER keeps what was built

Torch and the other dependencies are those of the Python that runs this, found through a .pth file: installing
them anew takes minutes and tells nothing of this package.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from packaging.metadata import Metadata
from setuptools import build_meta

ROOT = Path(__file__).resolve().parents[1]
INSIDE = [  # of every wheel
    "detr_kit/_C.abi3.so",
    "detr_kit/_configs/_base_/runtime.py",
    "detr_kit/_configs/deformable_detr_r50.py",
    "detr_kit/_weights/d_fine_n_shapes.safetensors",
    "detr_kit/py.typed",
    "detr_kit/weights/published.yaml",
]
EPOCH = [
    "data_root=shapes", "train_cfg.max_epochs=1", "train_cfg.val_interval=1", "train_dataloader.batch_size=4",
    "train_dataloader.num_workers=0", "val_dataloader.num_workers=0",
]  # fmt: skip


def main(folder: Path) -> None:
    sdist = build_sdist(folder / "dist")
    wheel = build_wheel(sdist, folder)
    check_content(wheel)
    python = clean_environment(folder / "venv", wheel)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    use(python, elsewhere)
    print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.1f} MiB, works outside the checkout")


def build_sdist(dist: Path) -> Path:
    dist.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    with redirect_stdout(StringIO()):  # a line a file
        return dist / build_meta.build_sdist(str(dist))


def build_wheel(sdist: Path, folder: Path) -> Path:
    """From what the sdist holds, and not from what lies about in a checkout."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    # The CUDA kernels are compiled by tests/ops, and take minutes.
    run([*pip, "--wheel-dir", sdist.parent, source], folder, DETR_KIT_NO_CUDA="1")
    (wheel,) = sdist.parent.glob("*.whl")
    return wheel


def check_content(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(about), validate=True)
    assert "-cp310-abi3-" in wheel.name, wheel.name
    missing = [name for name in INSIDE if name not in names]
    assert not missing, f"not in the wheel: {missing}"
    stray = [name for name in names if not name.startswith(("detr_kit/", "detr_kit-"))]
    assert not stray, f"in the wheel: {stray}"
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.requires_python is not None
    assert metadata.description is not None
    assert {"Homepage", "Documentation", "Issues", "Changelog"} <= set(metadata.project_urls or {})


def clean_environment(folder: Path, wheel: Path) -> Path:
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    scheme = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    # A line of a .pth file is a path; the .pth files in that folder, an editable detr-kit's too, stay unread.
    Path(scheme["purelib"], "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run([*pip, "--ignore-installed", wheel], folder)
    return python


def use(python: Path, folder: Path) -> None:
    """What a new user does first; in the folder, and with the command that was installed."""
    detr_kit = python.with_name("detr-kit")
    environment = run([detr_kit, "env"], folder)
    assert "native" in environment.split("op on cpu")[1].splitlines()[0], environment
    print(environment)
    program = (
        "import detr_kit, sys; from detr_kit.data import write_shapes\n"
        "assert detr_kit.__file__.startswith(sys.prefix), detr_kit.__file__\n"
        "write_shapes('shapes', num_train=8, num_val=2, image_size=64)"
    )
    run([python, "-c", program], folder)
    found = run([detr_kit, "predict", "shapes/val", "--checkpoint", "builtin", "--out", "found"], folder)
    assert any((folder / "found").iterdir()), found
    run([detr_kit, "train", "d_fine_n_shapes", "--cfg-options", *EPOCH], folder)
    assert (folder / "work_dirs" / "d_fine_n_shapes" / "epoch_1.pth").is_file()


def run(command: list[object], folder: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True)
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary).resolve())
