# The other architecture at the same size.
_base_ = "tiny.py"

model = dict(
    network=dict(
        _delete_=True,
        type="DETR",
        num_classes=5,
        num_queries=12,
        backbone=dict(type="ResNet", depth=18, strides=(16,), frozen_stages=-1, norm="batch"),
        neck=dict(type="ChannelMapper", in_channels=[256], out_channels=32, norm_groups=None),
        position_encoding=dict(type="SinePositionEncoding", num_feats=16),
        transformer=dict(
            type="DetrTransformer",
            embed_dims=32,
            num_heads=2,
            num_encoder_layers=1,
            num_decoder_layers=2,
            ffn_dims=32,
            dropout=0.0,
        ),
    ),
    criterion=dict(
        _delete_=True,
        type="SetCriterion",
        classification="softmax",
        no_object_weight=0.1,
        matcher=dict(
            type="HungarianMatcher", classification="softmax", cost_class=1, cost_bbox=5, cost_giou=2
        ),
        weight_class=1,
        weight_bbox=5,
        weight_giou=2,
    ),
    postprocessor=dict(_delete_=True, type="SoftmaxPostprocessor"),
)
