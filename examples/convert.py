"""Weights in from any project and out to any other, and the proof that they compute the same.

    python examples/convert.py r50_deformable_detr-checkpoint.pth huggingface deformable-detr
    python examples/convert.py builtin official shapes.pth

The same on the command line: detr-kit convert IN --to FORMAT -o OUT --verify
"""

import sys

import torch

from detr_kit import Detector
from detr_kit.checkpoints import convert_file

source, form, out = sys.argv[1:]
report = convert_file(source, form, out)
print(f"{source}: {report.source}, {report.num_tensors} tensors → {report.path}: {report.destination}")
for note in report.notes:
    print("note:", note)

image = torch.randint(0, 256, (3, 120, 160), dtype=torch.uint8)
before = Detector(checkpoint=source)
after = Detector(before.config, checkpoint=out)  # some formats do not say everything of a network
a, b = before(image, score_threshold=0), after(image, score_threshold=0)
print(f"largest difference of a score: {(a.scores - b.scores).abs().max().item():.1e}")
