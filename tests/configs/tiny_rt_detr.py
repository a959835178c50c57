# RT-DETR at the same size.
_base_ = "tiny.py"

model = dict(
    network=dict(
        _delete_=True,
        type="RTDETR",
        num_classes=5,
        num_queries=12,
        backbone=dict(type="ResNet", depth=18, style="d", strides=(8, 16), frozen_stages=-1, norm="batch"),
        neck=dict(
            type="HybridEncoder",
            in_channels=[128, 256],
            out_channels=32,
            num_heads=2,
            ffn_dims=32,
            fusion_channels=16,
            fusion_blocks=1,
        ),
        decoder=dict(
            type="RTDETRDecoder",
            embed_dims=32,
            num_heads=2,
            num_layers=2,
            ffn_dims=32,
            num_levels=2,
            num_points=2,
        ),
        denoising=dict(type="ContrastiveDenoising", num_denoising=8, padding_box=0.0),
    ),
    criterion=dict(
        classification=dict(_delete_=True, type="VarifocalLoss"), weight_class=1, weight_bbox=5, weight_giou=2
    ),
)
