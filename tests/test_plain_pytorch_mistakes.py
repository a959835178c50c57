"""What a training loop of one's own gets wrong is one error, not a run that learns nonsense."""

import pytest
import torch

from detr_kit import build_network
from detr_kit.config import config_names, read_config
from detr_kit.errors import InputError
from detr_kit.losses import HungarianMatcher, SetCriterion, criterion_for
from detr_kit.models import SigmoidPostprocessor, SoftmaxPostprocessor
from detr_kit.registry import MODELS, build
from detr_kit.structures import DetectorOutput, Target

from .small_models import CONFIGS


@pytest.fixture(scope="module", params=CONFIGS)
def network(request):
    return build_network(CONFIGS[request.param], num_classes=3)


def _output(kind=None, classes=4):
    return DetectorOutput(torch.randn(2, 6, classes), torch.rand(2, 6, 4), [], classification=kind)


def _targets(labels=(0, 2), boxes=((0.5, 0.5, 0.2, 0.2), (0.3, 0.4, 0.1, 0.5))):
    empty = {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}
    return [empty, {"labels": torch.tensor(labels), "boxes": torch.tensor(boxes)}]


def _settings(criterion):
    matcher = criterion.matcher
    costs = (matcher.cost_class, matcher.cost_bbox, matcher.cost_giou, matcher.alpha, matcher.gamma)
    own = (criterion.classification, criterion.no_object_weight, criterion.alpha, criterion.gamma)
    return matcher.classification, costs, criterion.weights, own


@pytest.mark.parametrize("name", config_names())
def test_a_networks_own_criterion_is_the_one_of_its_config(name):
    config = read_config(name).model.to_dict()
    network = MODELS.get(config["network"]["type"]).__new__(MODELS.get(config["network"]["type"]))
    assert _settings(criterion_for(network)) == _settings(build(config["criterion"], MODELS))


def test_a_network_trains_with_its_own_criterion(network):
    criterion = criterion_for(network)
    losses = criterion(network(torch.randn(2, 3, 64, 64)), _targets())
    sum(criterion.weighted(losses).values()).backward()
    assert losses["loss_ce"] > 0
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_a_criterion_of_the_other_kind_is_refused_with_the_way_out(network):
    other = "focal" if network.classification == "softmax" else "softmax"
    output = network(torch.randn(2, 3, 64, 64))
    with pytest.raises(InputError, match=rf"as '{other}'.*are '{network.classification}'.*criterion_for"):
        SetCriterion(HungarianMatcher(other))(output, _targets())


def test_a_postprocessor_of_the_other_kind_is_refused():
    with pytest.raises(InputError, match=r"SoftmaxPostprocessor reads logits as 'softmax'.*'focal'"):
        SoftmaxPostprocessor()(_output("focal"), [(10, 10)] * 2)
    with pytest.raises(InputError, match="SigmoidPostprocessor reads logits as 'focal'"):
        SigmoidPostprocessor()(_output("softmax"), [(10, 10)] * 2)


def test_a_matcher_takes_no_kind_for_granted():
    with pytest.raises(TypeError, match="classification"):
        HungarianMatcher()


def test_matcher_and_criterion_cannot_differ():
    assert SetCriterion(HungarianMatcher("focal")).classification == "focal"
    with pytest.raises(ValueError, match=r"'softmax', and its matcher's is 'focal'"):
        SetCriterion(HungarianMatcher("focal"), "softmax")


def test_a_network_that_does_not_say_its_kind_has_no_criterion():
    with pytest.raises(InputError, match=r'Linear.classification is None.*"softmax" or "focal"'):
        criterion_for(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("kind", ["softmax", "focal"])
@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (_targets(labels=(0, 9)), r"image 1 .*object 1: label 9, .* classes 0 … [23]; .*num_classes"),
        (_targets(labels=(-1, 0)), "object 0: label -1"),
        (_targets(boxes=((0.5, 0.5, 0.2, 0.2), (320.0, 200, 64, 50))), r"\[320, 200, 64, 50\].*divide"),
        (_targets(boxes=((0.5, -0.2, 0.2, 0.2), (0.5, 0.5, 0.1, 0.1))), r"object 0: box \[0.5, -0.2"),
        (_targets(boxes=((0.5, 0.5, 0.0, 0.2), (0.5, 0.5, 0.1, 0.1))), "has no area"),
        (_targets(boxes=((0.5, 0.5, 0.2, 0.2), (0.6, 0.6, 0.1, -0.1))), r"object 1: .*not in \[0, 1\]"),
        (_targets(boxes=((0.5, float("nan"), 0.2, 0.2), (0.5, 0.5, 0.1, 0.1))), "is not finite"),
        (_targets(boxes=((0.5, float("inf"), 0.2, 0.2), (0.5, 0.5, 0.1, 0.1))), "is not finite"),
        (_targets(labels=(0.0, 1.0)), r"'labels' is float32 of shape \(2,\); give whole numbers"),
        (_targets(labels=((0, 1),)), r"'labels' is int64 of shape \(1, 2\)"),
        (_targets(labels=(0,)), r"'boxes' is float32 of shape \(2, 4\) beside 1 labels"),
        (_targets(boxes=((0.5, 0.5, 0.2, 0.2, 1.0),) * 2), r"shape \(2, 5\)"),
        (_targets()[1:], "1 targets for 2 images"),
        ([{"labels": torch.zeros(0)}, _targets()[1]], "image 0 of the batch: no 'boxes'; it has labels"),
        ([{"labels": [0], "boxes": [[0.5] * 4]}, _targets()[1]], "'labels' is a list; give a tensor"),
    ],
    ids=[
        "label too large", "label below 0", "pixels", "centre outside", "no area", "negative height", "nan",
        "inf", "float labels", "matrix of labels", "more boxes than labels", "five numbers",
        "one target too few", "no boxes", "lists",
    ],
)  # fmt: skip
def test_targets_that_cannot_be_are_one_error_with_the_value(kind, targets, message):
    criterion = SetCriterion(HungarianMatcher(kind))
    with pytest.raises(InputError, match=message):
        criterion(_output(kind), targets)


def test_the_last_class_is_no_label_where_it_is_no_object():
    SetCriterion(HungarianMatcher("focal"))(_output("focal", classes=3), _targets())
    with pytest.raises(InputError, match="label 2, and the network has the classes 0 … 1"):
        SetCriterion(HungarianMatcher("softmax"))(_output("softmax", classes=3), _targets())


def test_the_message_names_the_picture_where_the_target_does():
    targets = [Target(torch.tensor([7]), torch.tensor([[0.5] * 4]), (9, 9), (9, 9), path="a/b.jpg")] * 2
    with pytest.raises(InputError, match=r"image 0 of the batch \(a/b.jpg\), object 0: label 7"):
        SetCriterion(HungarianMatcher("focal"))(_output(), targets)


def test_rounding_is_no_mistake():
    boxes = ((0.5, 0.5, 1.000001, 1.0), (0.0, 1.0000004, 0.1, 0.1))
    losses = SetCriterion(HungarianMatcher("focal"))(_output(), _targets(boxes=boxes))
    assert losses["loss_bbox"].isfinite()


def test_the_kind_of_logits_goes_through_torch_export():
    class Small(torch.nn.Module):
        def forward(self, x):
            return DetectorOutput(x, x, [(x, x)], classification="focal")

    output = torch.export.export(Small(), (torch.zeros(1, 2, 4),)).module()(torch.ones(1, 2, 4))
    assert output.classification == "focal"
    assert output.logits.sum() == 8


def test_parts_of_ones_own_need_not_say_their_kind():
    class OwnMatcher(torch.nn.Module):
        def forward(self, predictions, targets):
            return HungarianMatcher("focal")(predictions, targets)

    class OwnPostprocessor(SigmoidPostprocessor):
        classification = None

    assert SetCriterion(OwnMatcher(), "focal")(_output("focal"), _targets())["loss_ce"].isfinite()
    assert len(OwnPostprocessor()(_output("softmax"), [(10, 10)] * 2)) == 2
    with pytest.raises(ValueError, match="classification=None"):
        SetCriterion(OwnMatcher())
