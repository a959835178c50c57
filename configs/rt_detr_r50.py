# RT-DETR, ResNet-50-D: COCO val2017 AP 53.1 (Zhao et al. 2024, table 2).
_base_ = "_base_/rt_detr_schedule.py"

model = dict(
    type="TrainableDetector",
    network=dict(
        type="RTDETR",
        num_classes=80,
        num_queries=300,
        backbone=dict(
            type="ResNet", depth=50, style="d", strides=(8, 16, 32), frozen_stages=0, norm="frozen"
        ),
        neck=dict(
            type="HybridEncoder",
            in_channels=[512, 1024, 2048],
            out_channels=256,
            num_heads=8,
            ffn_dims=1024,
            num_layers=1,
            fusion_channels=256,
            fusion_blocks=3,
        ),
        decoder=dict(
            type="RTDETRDecoder",
            embed_dims=256,
            num_heads=8,
            num_layers=6,
            ffn_dims=1024,
            num_levels=3,
            num_points=4,
        ),
        denoising=dict(type="ContrastiveDenoising", num_denoising=100, padding_box=0.0),
    ),
    criterion=dict(
        type="SetCriterion",
        classification=dict(type="VarifocalLoss"),
        matcher=dict(type="HungarianMatcher", classification="focal", cost_class=2, cost_bbox=5, cost_giou=2),
        weight_class=1,
        weight_bbox=5,
        weight_giou=2,
    ),
    postprocessor=dict(type="SigmoidPostprocessor", max_detections=300),
)
