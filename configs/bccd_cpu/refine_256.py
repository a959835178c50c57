# Blood cells on two CPU cores, second part: goes on from the first at 256 pixels.
_base_ = "refine_160.py"

load_from = "work_dirs/refine_160/best_coco_AP_epoch_6.pth"

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

train_cfg = dict(max_epochs=20, val_interval=4)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="MultiStepLR", milestones=[16], gamma=0.1, by_epoch=True),
]
