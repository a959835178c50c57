# Conditional DETR at the same size.
_base_ = "tiny.py"

model = dict(
    network=dict(
        _delete_=True,
        type="ConditionalDETR",
        num_classes=5,
        num_queries=12,
        backbone=dict(type="ResNet", depth=18, strides=(16,), frozen_stages=-1, norm="batch"),
        neck=dict(type="ChannelMapper", in_channels=[256], out_channels=32, norm_groups=None),
        position_encoding=dict(type="SinePositionEncoding", num_feats=16),
        transformer=dict(
            type="ConditionalTransformer",
            embed_dims=32,
            num_heads=2,
            num_encoder_layers=1,
            num_decoder_layers=2,
            ffn_dims=32,
            dropout=0.0,
        ),
    ),
)
