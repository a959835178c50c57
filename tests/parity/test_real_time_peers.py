"""Live peers: transformers' RT-DETR, RT-DETRv2 and D-FINE of every size, with our weights in their format."""

from tempfile import TemporaryDirectory

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from detr_kit import build_network
from detr_kit.categories import Categories
from detr_kit.checkpoints import convert_state_dict, detect_format
from detr_kit.config import config_names
from detr_kit.losses import criterion_for

transformers = pytest.importorskip("transformers")

NAMES = [name for name in config_names() if name.startswith(("rt_detr", "d_fine"))]
# Small ones on every run, the others with --slow: a network of 76 million parameters takes its time.
QUICK = ("rt_detr_r18", "rt_detr_v2_r18_dsp", "d_fine_n", "d_fine_s", "d_fine_n_shapes")
CASES = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in NAMES]
CLASSES = tuple(f"thing {i}" for i in range(7))


def randomise(network: nn.Module) -> None:
    """Weights that tell queries apart: many start at zero, or all alike."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator) if tensor.is_floating_point() else None
            if noise is None or key in ("up", "scale") or key.endswith("num_points_scale"):
                continue
            if key.endswith("running_var"):
                tensor.copy_(1 + 0.1 * noise.abs())
            elif tensor.ndim >= 2:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            else:
                tensor.add_(0.1 * noise)


def peer_of(name: str) -> tuple[nn.Module, nn.Module]:
    """Our network of a config, and transformers' with its weights; both in evaluation mode."""
    ours = build_network(name, num_classes=len(CLASSES), num_queries=20).eval()
    randomise(ours)
    state = ours.state_dict()
    found = detect_format(state).architecture
    settings = found.family.transformers_config(found, Categories(CLASSES, tuple(range(7))), False)
    settings["num_queries"] = 20
    if "dsp" in name:  # which weights do not tell
        settings["decoder_method"] = "discrete"
    settings["decoder_layers"] = ours.decoder.num_eval_layers  # all of them are run over there
    config = transformers.AutoConfig.for_model(**settings)
    theirs = transformers.AutoModelForObjectDetection.from_config(config).eval()
    unused, missing = _load(theirs, convert_state_dict(state, to="huggingface"))
    later = ours.decoder.num_eval_layers < len(ours.decoder.layers)
    assert all(".layers." in key or "_embed." in key for key in unused) if later else not unused
    assert not missing
    return ours, theirs


def _load(model: nn.Module, state: dict[str, torch.Tensor]) -> tuple[list[str], list[str]]:
    """Load version 4's names as from_pretrained does; keys that are not used, and that are missing."""
    with TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        save_file({k: t.clone().contiguous() for k, t in state.items()}, f"{folder}/model.safetensors",
                  {"format": "pt"})  # fmt: skip
        loaded, report = type(model).from_pretrained(folder, output_loading_info=True)
    model.load_state_dict(loaded.state_dict())
    return list(report["unexpected_keys"]), list(report["missing_keys"])


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_peers(name):
    ours, theirs = peer_of(name)
    images = torch.rand(2, 3, 128, 192, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        output, expected = ours(images), theirs(images)
    torch.testing.assert_close(output.logits, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.boxes, expected.pred_boxes, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["rt_detr_r18", "rt_detr_v2_r18"])
def test_losses_are_the_peers(name):
    # Not the gradients: over there no layer teaches the box before it, as the original has it.
    ours, theirs = peer_of(name)
    r = torch.Generator().manual_seed(2)
    images = torch.rand(2, 3, 128, 160, generator=r)
    targets = [
        {"labels": torch.randint(7, (n,), generator=r), "boxes": 0.2 + 0.3 * torch.rand(n, 4, generator=r)}
        for n in (4, 0)
    ]
    expected = theirs(images, labels=[{"class_labels": t["labels"], "boxes": t["boxes"]} for t in targets])
    criterion = criterion_for(ours)
    total = sum(criterion.weighted(criterion(ours(images), targets)).values())
    torch.testing.assert_close(total, expected.loss, rtol=1e-5, atol=0)
