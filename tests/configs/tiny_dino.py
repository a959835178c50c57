# DINO at the same size.
_base_ = "tiny.py"

model = dict(
    network=dict(
        _delete_=True,
        type="DINO",
        num_classes=5,
        num_queries=12,
        denoising=dict(type="ContrastiveDenoising", num_denoising=8),
        backbone=dict(type="ResNet", depth=18, strides=(8,), frozen_stages=-1, norm="batch"),
        neck=dict(type="ChannelMapper", in_channels=[128], out_channels=32, num_levels=2),
        position_encoding=dict(type="SinePositionEncoding", num_feats=16, temperature=20),
        transformer=dict(
            type="DeformableTransformer",
            embed_dims=32,
            num_heads=2,
            num_encoder_layers=1,
            num_decoder_layers=2,
            ffn_dims=32,
            dropout=0.0,
            num_levels=2,
            num_points=4,
        ),
    ),
    criterion=dict(weight_class=1),
)
