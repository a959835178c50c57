"""Package layout and the native operators; the metadata stands in pyproject.toml.

`configs/` lies at the top of the repository, where users look for it, and is installed as
`detr_kit/_configs`, so that `build_network("deformable_detr_r50")` works from a wheel as well.

`ops/` becomes `detr_kit._C`, built against the LibTorch stable ABI and Python's limited API, so that one
build serves several releases of both. Without a compiler, or without torch at build time, the install goes
on and the pure-PyTorch reference serves.

Environment:
    DETR_KIT_NO_NATIVE=1     do not build the native operators
    DETR_KIT_NO_CUDA=1       build them for the CPU only
    DETR_KIT_REQUIRE_CUDA=1  fail where the CUDA kernels cannot be built, instead of going on without
    CUDA_HOME                where nvcc is, if not in /usr/local/cuda or on the PATH
    DETR_KIT_SANITIZE=1      with the address and undefined-behaviour sanitizers (`make sanitize`)
    TORCH_CUDA_ARCH_LIST     GPU architectures, numbers ("8.0 9.0+PTX") or torch's names ("Ampere")
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import setuptools
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

# Older ones do not take the licence as pyproject.toml writes it, and end in a page about schemas.
if int(setuptools.__version__.split(".")[0]) < 77:
    sys.exit(f"detr-kit builds with setuptools 77 or newer, this is {setuptools.__version__}: "
             "pip install --upgrade setuptools")  # fmt: skip

ROOT = Path(__file__).resolve().parent
TORCH_TARGET = "0x020b000000000000"  # torch 2.11: what that release can load, later ones can
OPTIMISE = [
    "-std=gnu++17", "-O3", "-g0", "-fPIC", "-fvisibility=hidden", "-fopenmp-simd",
    "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wno-maybe-uninitialized",
]  # fmt: skip
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
# One source compiled three times; the processor picks at run time.
INSTRUCTION_SETS = {"kernels_avx2.cpp": AVX2, "kernels_avx512.cpp": AVX512}
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def flag(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


# The names that torch takes in TORCH_CUDA_ARCH_LIST.
GENERATIONS = {
    "Volta": "7.0+PTX", "Turing": "7.5+PTX", "Ampere": "8.0 8.6+PTX", "Ada": "8.9+PTX", "Hopper": "9.0+PTX",
    "Blackwell": "10.0 10.3 12.0 12.1+PTX",
}  # fmt: skip


def cuda_architectures(nvcc: str) -> list[str]:
    """TORCH_CUDA_ARCH_LIST as far as nvcc knows it; by default the generations from sm_80 on that it knows.

    Code for x.0 runs on every x.y. PTX of the newest lets the driver compile for generations to come.
    """
    listing = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True)
    known = listing.stdout.split()

    def is_known(arch: str) -> bool:  # an nvcc that does not say meets it when it compiles, and tells why not
        number = arch.removesuffix("+PTX").rstrip("af").replace(".", "")
        return listing.returncode != 0 or f"compute_{number}" in known

    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").split()
    if not wanted:
        listed = [arch for arch in ("8.0", "9.0", "10.0", "12.0") if is_known(arch)]
        return [*listed[:-1], f"{listed[-1]}+PTX"]
    listed = [arch for entry in wanted for arch in GENERATIONS.get(entry, entry).split()]
    left_out = [arch for arch in listed if not is_known(arch)]
    if len(left_out) == len(listed):
        raise ValueError(f"TORCH_CUDA_ARCH_LIST={' '.join(wanted)}: {nvcc} compiles for none of these")
    if left_out:
        print(f"warning: {nvcc} does not compile for {', '.join(left_out)} of TORCH_CUDA_ARCH_LIST: left out")
    return [arch for arch in listed if arch not in left_out]


def gencode(architectures: list[str]) -> list[str]:
    flags = []
    for arch in architectures:
        number = arch.removesuffix("+PTX").replace(".", "")
        flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if arch.endswith("+PTX"):
            flags.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    return flags


def static_runtime(nvcc: str) -> Path:
    """The CUDA runtime to link in. Linked statically, the extension needs no CUDA library to load."""
    root = Path(nvcc).resolve().parents[1]
    for pattern in ("lib64", "lib", "targets/*/lib"):
        for folder in sorted(root.glob(pattern)):
            if (folder / "libcudart_static.a").exists():
                return folder / "libcudart_static.a"
    raise OSError(f"libcudart_static.a is not below {root}; the CUDA toolkit there is incomplete")


def torch_root() -> Path:
    """Where torch is installed, without importing it."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("torch is not installed in the build environment")
    return Path(spec.submodule_search_locations[0])


def find_nvcc() -> str | None:
    if flag("DETR_KIT_NO_CUDA"):
        return None
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    candidate = Path(home) / "bin" / "nvcc"
    return str(candidate) if candidate.exists() else shutil.which("nvcc")


class BuildNative(build_ext):
    """Builds detr_kit._C, or says once why not and leaves the pure-PyTorch reference to serve."""

    def build_extension(self, ext: Extension) -> None:
        try:
            self.build_native(ext)
        except Exception as error:
            if flag("DETR_KIT_REQUIRE_CUDA"):
                raise
            self.warn(
                f"detr-kit goes on without its native operators, with slower pure-PyTorch ones ({error}). "
                "To get them, install torch and a C++17 compiler (GCC or Clang), then run: pip install "
                "--no-build-isolation --force-reinstall --no-deps detr-kit (or -e . in a checkout)"
            )

    def build_native(self, ext: Extension) -> None:
        if self.compiler.compiler_type != "unix":
            raise RuntimeError(f"compiler {self.compiler.compiler_type} is not supported, GCC and Clang are")
        headers = Path(sysconfig.get_paths()["include"])
        if not (headers / "Python.h").exists():
            raise RuntimeError(f"Python.h is not in {headers}; install Python's headers (python3-dev)")
        torch = torch_root()
        includes = [
            str(torch / "include"),
            str(torch / "include/torch/csrc/api/include"),
            str(headers),
        ]
        flags = [*OPTIMISE, *(part for path in includes for part in ("-isystem", path))]
        flags += [f"-DTORCH_TARGET_VERSION={TORCH_TARGET}", *(SANITIZE if flag("DETR_KIT_SANITIZE") else [])]
        cuda, cpu = (
            [source for source in ext.sources if (Path(source).parent.name == "cuda") == wanted]
            for wanted in (True, False)
        )
        extra = [*SANITIZE] if flag("DETR_KIT_SANITIZE") else []
        # First, since it says in a second whether there is a compiler; nvcc takes minutes.
        objects = self.compile_cpp(cpu, flags)
        cuda_objects: list[str] = []
        try:
            cuda_objects = self.compile_cuda(cuda, flags, torch)
            if cuda_objects:
                extra += ["-Wl,--exclude-libs,ALL", "-ldl", "-lrt", "-lpthread"]
        except Exception as error:
            if flag("DETR_KIT_REQUIRE_CUDA"):
                raise
            self.warn(f"detr-kit goes on without its CUDA kernels ({error})")
        self.compiler.link_shared_object(
            [*objects, *cuda_objects],
            self.get_ext_fullpath(ext.name),
            libraries=["torch", "torch_cpu", "c10"],
            library_dirs=[str(torch / "lib")],
            extra_postargs=extra,
            target_lang="c++",
        )

    def compile_cpp(self, sources: list[str], flags: list[str]) -> list[str]:
        objects = []
        for source in sources:
            extra = INSTRUCTION_SETS.get(Path(source).name, [])
            objects += self.compiler.compile([source], self.build_temp, extra_postargs=[*flags, *extra])
        return objects

    def compile_cuda(self, sources: list[str], flags: list[str], torch: Path) -> list[str]:
        """The objects of the CUDA part and its runtime; none without nvcc, or for a torch without CUDA."""
        nvcc = find_nvcc()
        asked_for = bool(os.environ.get("TORCH_CUDA_ARCH_LIST"))
        if nvcc is None or not (asked_for or (torch / "lib/libtorch_cuda.so").exists()):
            if flag("DETR_KIT_REQUIRE_CUDA"):
                missing = "nvcc is not found; set CUDA_HOME" if nvcc is None else "this torch is without CUDA"
                raise RuntimeError(f"DETR_KIT_REQUIRE_CUDA is set, and {missing}")
            return []
        runtime = static_runtime(nvcc)
        architectures = cuda_architectures(nvcc)
        options = ["-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden", *gencode(architectures)]
        kernels = [source for source in sources if source.endswith(".cu")]
        targets = [Path(self.build_temp) / f"{source}.o" for source in kernels]

        def compile_kernels(source: str, target: Path) -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            command = [nvcc, *options, "-c", source, "-o", str(target)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(
                    f"{' '.join(command)} failed: {(done.stdout + done.stderr).strip()[-2000:]}"
                )

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_kernels, kernels, targets))
        host = [source for source in sources if source.endswith(".cpp")]
        flags = [*flags, f'-DDETR_KIT_ARCHITECTURES="{" ".join(architectures)}"']
        return [*self.compile_cpp(host, flags), *map(str, targets), str(runtime)]


def native() -> list[Extension]:
    if flag("DETR_KIT_NO_NATIVE"):
        return []
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    sources = [
        str(path.relative_to(ROOT))
        for pattern in ("*.cpp", "*.cu")
        for path in sorted((ROOT / "ops").rglob(pattern))
        if x86 or path.name not in INSTRUCTION_SETS
    ]
    headers = [str(path.relative_to(ROOT)) for path in (ROOT / "ops").rglob("*.h")]
    # optional: an editable install looks for the file after building, and may not find it
    return [Extension("detr_kit._C", sources, depends=headers, py_limited_api=True, optional=True)]


setup(
    packages=[
        *find_packages(include=["detr_kit", "detr_kit.*"]),
        "detr_kit._configs",
        "detr_kit._configs._base_",
        "detr_kit._configs.bccd_cpu",
    ],
    include_package_data=False,  # what is listed here and nothing else: folders of data are no packages
    package_data={
        "detr_kit": ["_weights/*.safetensors", "py.typed"],
        "detr_kit.serving": ["static/*"],
        "detr_kit.weights": ["published.yaml"],
    },
    package_dir={
        "detr_kit._configs": "configs",
        "detr_kit._configs._base_": "configs/_base_",
        "detr_kit._configs.bccd_cpu": "configs/bccd_cpu",
    },
    ext_modules=native(),
    cmdclass={"build_ext": BuildNative},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
