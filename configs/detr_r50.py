# DETR, ResNet-50: COCO val2017 AP 42.0 after 500 epochs (Carion et al. 2020, table 1).
_base_ = ["_base_/coco.py", "_base_/runtime.py", "_base_/detr_schedule.py"]

model = dict(
    type="TrainableDetector",
    network=dict(
        type="DETR",
        num_classes=91,  # labels are COCO category ids; "no object" is logit 91
        num_queries=100,
        backbone=dict(
            type="ResNet",
            depth=50,
            strides=(32,),
            frozen_stages=1,
            norm="frozen",
            weights="ResNet50_Weights.IMAGENET1K_V1",
        ),
        neck=dict(type="ChannelMapper", in_channels=[2048], out_channels=256, norm_groups=None),
        position_encoding=dict(type="SinePositionEncoding", num_feats=128),
        transformer=dict(
            type="DetrTransformer",
            embed_dims=256,
            num_heads=8,
            num_encoder_layers=6,
            num_decoder_layers=6,
            ffn_dims=2048,
            dropout=0.1,
        ),
    ),
    criterion=dict(
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
    postprocessor=dict(type="SoftmaxPostprocessor"),
)
