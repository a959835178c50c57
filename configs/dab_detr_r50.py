# DAB-DETR, ResNet-50, 50 epochs: COCO val2017 AP 42.2 (Liu et al. 2022, table 2).
_base_ = ["_base_/coco.py", "_base_/runtime.py", "_base_/fifty_epochs.py"]

model = dict(
    type="TrainableDetector",
    network=dict(
        type="DabDETR",
        num_classes=91,  # labels are COCO category ids
        num_queries=300,
        num_patterns=0,
        backbone=dict(
            type="ResNet",
            depth=50,
            strides=(32,),
            frozen_stages=1,
            norm="frozen",
            weights="ResNet50_Weights.IMAGENET1K_V1",
        ),
        neck=dict(type="ChannelMapper", in_channels=[2048], out_channels=256, norm_groups=None),
        position_encoding=dict(type="SinePositionEncoding", num_feats=128, temperature=20),
        transformer=dict(
            type="DabTransformer",
            embed_dims=256,
            num_heads=8,
            num_encoder_layers=6,
            num_decoder_layers=6,
            ffn_dims=2048,
            dropout=0.0,
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
