"""Network, criterion and matcher read logits alike, or one error says how to get there."""

import pytest
import torch

from detr_kit import build_network
from detr_kit.config import config_names, read_config
from detr_kit.errors import InputError
from detr_kit.losses import HungarianMatcher, SetCriterion, criterion_for
from detr_kit.models import SigmoidPostprocessor
from detr_kit.registry import MODELS, build

from ..places import SMALL
from .made_up import an_output, two_targets


@pytest.fixture(scope="module", params=SMALL)
def network(request):
    return build_network(SMALL[request.param], num_classes=3)


def _settings(criterion):
    matcher = criterion.matcher
    costs = (matcher.cost_class, matcher.cost_bbox, matcher.cost_giou, matcher.alpha, matcher.gamma)
    loss = criterion.classification_loss
    own = (type(loss), vars(loss).get("no_object_weight"), vars(loss).get("alpha"), vars(loss).get("gamma"))
    further = [(type(one), one.weights) for one in criterion.further]
    return matcher.classification, costs, criterion.weights, own, further, criterion.union


@pytest.mark.parametrize("name", config_names())
def test_a_networks_own_criterion_is_the_one_of_its_config(name):
    config = read_config(name).model.to_dict()
    network = MODELS.get(config["network"]["type"]).__new__(MODELS.get(config["network"]["type"]))
    assert _settings(criterion_for(network)) == _settings(build(config["criterion"], MODELS))


def test_a_network_trains_with_its_own_criterion(network):
    criterion = criterion_for(network)
    losses = criterion(network(torch.randn(2, 3, 64, 64), None, two_targets()), two_targets())
    sum(criterion.weighted(losses).values()).backward()
    assert losses["loss_ce"] > 0
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_a_criterion_of_the_other_kind_is_refused_with_the_way_out(network):
    other = "focal" if network.classification == "softmax" else "softmax"
    output = network(torch.randn(2, 3, 64, 64))
    with pytest.raises(InputError, match=rf"as '{other}'.*are '{network.classification}'.*criterion_for"):
        SetCriterion(HungarianMatcher(other))(output, two_targets())


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


def test_parts_of_ones_own_need_not_say_their_kind():
    class OwnMatcher(torch.nn.Module):
        def forward(self, predictions, targets):
            return HungarianMatcher("focal")(predictions, targets)

    class OwnPostprocessor(SigmoidPostprocessor):
        classification = None

    assert SetCriterion(OwnMatcher(), "focal")(an_output("focal"), two_targets())["loss_ce"].isfinite()
    assert len(OwnPostprocessor()(an_output("softmax"), [(10, 10)] * 2)) == 2
    with pytest.raises(ValueError, match="classification=None"):
        SetCriterion(OwnMatcher())
