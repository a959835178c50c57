"""Networks, losses and the op need torch, torchvision and scipy; a GPU machine may have little else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# None in sys.modules makes an import fail as if the package were not installed.
MISSING = """
import sys
for package in ("mmengine", "pycocotools", "rich"):
    sys.modules[package] = None
"""

PROGRAM = """
import torch
from detr_kit.errors import InputError
from detr_kit.losses import criterion_for
from detr_kit.models import (
    DETR, ChannelMapper, DeformableDETR, DeformableTransformer, DetrTransformer, ResNet, SinePositionEncoding,
)
from detr_kit.ops import backend_report, ms_deform_attn
from detr_kit.registry import MODELS, build

# the op
value = torch.ones(1, 4, 1, 8, requires_grad=True)
middle = torch.full((1, 1, 1, 1, 1, 2), 0.5)
output = ms_deform_attn(value, [(2, 2)], None, middle, torch.ones(1, 1, 1, 1, 1))
output.sum().backward()
assert torch.allclose(output, torch.ones(1, 1, 8))
assert torch.allclose(value.grad, torch.full_like(value, 0.25))
assert [row["device"] for row in backend_report()] == ["cpu", "cuda"]

# networks and losses
parts = ResNet(18, strides=(8,), weights=None), ChannelMapper([128], 32), SinePositionEncoding(16)
sizes = dict(embed_dims=32, num_heads=2, num_encoder_layers=1, num_decoder_layers=2, ffn_dims=32)
for network in (
    DETR(*parts, DetrTransformer(**sizes), num_classes=3, num_queries=5),
    DeformableDETR(*parts, DeformableTransformer(**sizes, num_levels=1), num_classes=3, num_queries=5),
):
    criterion = criterion_for(network)
    target = dict(boxes=torch.tensor([[0.5, 0.5, 0.2, 0.3]]), labels=torch.tensor([1]))
    losses = criterion.weighted(criterion(network(torch.randn(2, 3, 64, 96)), [target, target]))
    sum(losses.values()).backward()
    assert network.query_embed.weight.grad.abs().sum() > 0

# names
assert MODELS.get("DETR") is MODELS.get("detr_kit.DETR") is DETR
assert MODELS.get("torch.nn.ReLU") is torch.nn.ReLU
assert "SetCriterion" in MODELS.module_dict

@MODELS.register_module(name="other")
class Own:
    pass

assert isinstance(build(dict(type="other")), Own)

def refused(error, message, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except error as raised:
        assert message in str(raised), raised
    else:
        raise AssertionError(f"not refused: {arguments} {named}")

refused(InputError, "type='DTER' is no model of detr-kit; did you mean 'DETR'?", build, dict(type="DTER"))
refused(KeyError, "other is already registered in model", MODELS.register_module, "other", module=DETR)
refused(ImportError, "mmengine", __import__, "detr_kit.engine")
"""

COLLECT = """
import pytest
names = ("test_op_numbers", "test_op_contract", "test_op_cuda", "test_cuda_plan", "test_cuda_emulated")
sys.exit(pytest.main(["-q", "--collect-only", *(f"tests/ops/{name}.py" for name in names)]))
"""


def run(program):
    result = subprocess.run(
        [sys.executable, "-c", MISSING + program], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_networks_losses_and_the_op_work():
    run(PROGRAM)


def test_the_tests_of_the_op_start():
    run(COLLECT)
