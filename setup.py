"""Package layout; the metadata stands in pyproject.toml.

`configs/` lies at the top of the repository, where users look for it, and is installed as
`detr_kit/_configs`, so that `build_network("deformable_detr_r50")` works from a wheel as well.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["detr_kit", "detr_kit.*"]),
        "detr_kit._configs",
        "detr_kit._configs._base_",
    ],
    package_dir={"detr_kit._configs": "configs", "detr_kit._configs._base_": "configs/_base_"},
)
