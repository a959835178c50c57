"""Networks in plain PyTorch: ResNet, position encodings, neck, transformers, DETR and Deformable DETR."""

from .backbones.resnet import ResNet
from .deformable_detr import DeformableDETR
from .deformable_transformer import DeformableTransformer
from .detr import DETR
from .detr_transformer import DetrTransformer
from .layers.ms_deform_attn import MSDeformAttn
from .layers.position_encoding import LearnedPositionEncoding, SinePositionEncoding
from .necks.channel_mapper import ChannelMapper
from .postprocess import SigmoidPostprocessor, SoftmaxPostprocessor

__all__ = [
    "DETR",
    "ChannelMapper",
    "DeformableDETR",
    "DeformableTransformer",
    "DetrTransformer",
    "LearnedPositionEncoding",
    "MSDeformAttn",
    "ResNet",
    "SigmoidPostprocessor",
    "SinePositionEncoding",
    "SoftmaxPostprocessor",
]
