"""What would be `detr_kit/families/toy.py`."""

from pathlib import Path

from detr_kit.families import Architecture, ClassRows, Family, KeyNames, OwnNames, register, rules

from .network import ToyDetector


class OfficialToyNames(KeyNames):
    """The names that the toy's authors gave."""

    format = "official"
    beginnings = ("toy_backbone.",)


OFFICIAL = rules(
    """
stem.{rest}                       toy_backbone.{rest}
toy_queries.weight                object_queries
box_embed.{p}                     noise_embed.{p}
layers.{i}.cross_attn.{rest}      decoder.{i}.attention.{rest}
layers.{i}.norm.{p}               decoder.{i}.norm1.{p}
class_head.{p}                    classifier.{p}
box_head.layers.{i}.{p}           regressor.{i}.{p}
"""
)


@register
class Toy(Family):
    """See Family."""

    name = "toy"
    network = ToyDetector
    config = str(Path(__file__).with_name("toy.py"))  # one that ships is called by its name
    key_names = (
        OwnNames(("toy_queries.", "class_head.")),
        OfficialToyNames(OFFICIAL, ("toy_backbone.",)),
    )

    def architecture_of(self, state):
        num_classes, width = state["class_head.weight"].shape
        num_queries = len(state["toy_queries.weight"])
        encoding = dict(type="SinePositionEncoding", num_feats=width // 2)
        network = dict(
            type="ToyDetector",
            num_classes=num_classes,
            num_queries=num_queries,
            width=width,
            position_encoding=encoding,
        )
        return Architecture(self, "toy", num_classes, num_queries, network)

    def class_rows(self, state):
        return {key: ClassRows() for key in state if key.startswith("class_head.")}

    def explained_modules(self, network):
        return [layer.cross_attn for layer in network.layers], network.position_encoding
