# Blood cells, the best that came out of two CPU cores: --amp --ema, 93 minutes on one of them (docs/model_zoo.md).
_base_ = "deformable_detr_160.py"

model = dict(network=dict(refine=True, two_stage=True), postprocessor=dict(nms_iou_threshold=0.7))

_test_transforms = [dict(type="ResizeShortestSide", sizes=[256], max_size=640)]
train_dataloader = dict(
    dataset=dict(
        transforms=[
            dict(type="RandomHorizontalFlip", p=0.5),
            dict(type="RandomVerticalFlip", p=0.5),
            *_test_transforms,
        ],
    ),
)
val_dataloader = dict(dataset=dict(transforms=_test_transforms))
test_dataloader = dict(dataset=dict(transforms=_test_transforms))

train_cfg = dict(max_epochs=22, val_interval=3)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="MultiStepLR", milestones=[19], gamma=0.1, by_epoch=True),
]
