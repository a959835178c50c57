# DINO, ResNet-50, four levels, 12 epochs: COCO val2017 AP 49.0 (Zhang et al. 2023, table 1; the code's README).
_base_ = ["_base_/coco.py", "_base_/runtime.py", "_base_/dino_schedule.py"]

model = dict(
    type="TrainableDetector",
    network=dict(
        type="DINO",
        num_classes=91,  # labels are COCO category ids
        num_queries=900,
        share_heads=True,
        denoising=dict(type="ContrastiveDenoising", num_denoising=100, label_noise=0.25, box_noise=1.0),
        backbone=dict(
            type="ResNet",
            depth=50,
            strides=(8, 16, 32),
            frozen_stages=1,
            norm="frozen",
            weights="ResNet50_Weights.IMAGENET1K_V1",
        ),
        neck=dict(type="ChannelMapper", in_channels=[512, 1024, 2048], out_channels=256, num_levels=4),
        position_encoding=dict(type="SinePositionEncoding", num_feats=128, temperature=20),
        transformer=dict(
            type="DeformableTransformer",
            embed_dims=256,
            num_heads=8,
            num_encoder_layers=6,
            num_decoder_layers=6,
            ffn_dims=2048,
            dropout=0.0,
            num_levels=4,
            num_points=4,
        ),
    ),
    criterion=dict(
        type="SetCriterion",
        classification="focal",
        matcher=dict(type="HungarianMatcher", classification="focal", cost_class=2, cost_bbox=5, cost_giou=2),
        weight_class=1,
        weight_bbox=5,
        weight_giou=2,
    ),
    postprocessor=dict(type="SigmoidPostprocessor", max_detections=300),
)
