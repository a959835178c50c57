# D-FINE-S, HGNetv2-B0: COCO val2017 AP 48.5 (Peng et al. 2025, table 1).
_base_ = "_base_/d_fine_schedule.py"

model = dict(
    type="TrainableDetector",
    channels_last=True,
    network=dict(
        type="DFINE",
        num_classes=80,
        num_queries=300,
        num_bins=32,
        up=0.5,
        scale=4.0,
        backbone=dict(type="HGNetv2", variant="B0", strides=(8, 16, 32), frozen_stages=-1, norm="batch"),
        neck=dict(
            type="ElanHybridEncoder",
            in_channels=[256, 512, 1024],
            out_channels=256,
            num_heads=8,
            ffn_dims=1024,
            num_layers=1,
            fusion_channels=64,
            fusion_blocks=1,
        ),
        decoder=dict(
            type="DFINEDecoder",
            embed_dims=256,
            num_heads=8,
            num_layers=3,
            ffn_dims=1024,
            num_levels=3,
            num_points=[3, 6, 3],
        ),
        denoising=dict(type="ContrastiveDenoising", num_denoising=100, padding_box=0.0, swap_crossed=True),
    ),
    criterion=dict(
        type="SetCriterion",
        classification=dict(type="VarifocalLoss"),
        matcher=dict(type="HungarianMatcher", classification="focal", cost_class=2, cost_bbox=5, cost_giou=2),
        weight_class=1,
        weight_bbox=5,
        weight_giou=2,
        union=True,
        further=[dict(type="FineGrainedLoss", weight_fgl=0.15, weight_ddf=1.5)],
    ),
    postprocessor=dict(type="SigmoidPostprocessor", max_detections=300),
)
