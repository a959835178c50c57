# The embedded demo: a small Deformable DETR from scratch on rendered shapes, minutes on two CPU cores.
_base_ = ["_base_/runtime.py"]

data_root = "data/shapes"  # written by `make demo`, or by detr_kit.data.write_shapes

model = dict(
    type="TrainableDetector",
    network=dict(
        type="DeformableDETR",
        num_classes=5,
        num_queries=30,
        refine=True,
        backbone=dict(type="ResNet", depth=18, strides=(8, 16), frozen_stages=-1, norm="batch"),
        neck=dict(type="ChannelMapper", in_channels=[128, 256], out_channels=128, num_levels=2),
        position_encoding=dict(type="SinePositionEncoding", num_feats=64, offset=-0.5),
        transformer=dict(
            type="DeformableTransformer",
            embed_dims=128,
            num_heads=4,
            num_encoder_layers=2,
            num_decoder_layers=3,
            ffn_dims=256,
            dropout=0.0,
            num_levels=2,
            num_points=4,
        ),
    ),
    criterion=dict(
        type="SetCriterion",
        classification="focal",
        matcher=dict(type="HungarianMatcher", classification="focal", cost_class=2, cost_bbox=5, cost_giou=2),
        weight_class=2,
        weight_bbox=5,
        weight_giou=2,
    ),
    postprocessor=dict(type="SigmoidPostprocessor", max_detections=100),
)

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="EpochSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler", drop_last=True),
    collate_fn=dict(type="detr_kit.pad_collate"),
    dataset=dict(
        type="CocoDataset",
        annotations="train.json",
        images="train",
        transforms=[
            dict(type="RandomHorizontalFlip", p=0.5),
            dict(type="RandomVerticalFlip", p=0.5),
        ],
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="detr_kit.pad_collate"),
    dataset=dict(
        type="CocoDataset",
        annotations="val.json",
        images="val",
        # leaves the set as it is, and brings pictures from elsewhere to the size of what was learnt
        transforms=[dict(type="ResizeShortestSide", sizes=128, max_size=256)],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="CocoMetric")
test_evaluator = dict(type="CocoMetric")

optim_wrapper = dict(
    type="OptimWrapper",
    constructor="GroupedOptimWrapperConstructor",
    optimizer=dict(type="AdamW", lr=4e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=0.1, norm_type=2),
)
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=8, val_interval=2)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min=4e-6, by_epoch=True, T_max=8, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
