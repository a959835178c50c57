# DETR beside deformable_detr_160.py: the same pictures, steps and schedule, its own learning rate and loss.
_base_ = "../detr_r50.py"

data_root = "data/bccd"

model = dict(
    network=dict(
        num_classes=3,
        backbone=dict(style="caffe", weights="data/weights/resnet50_caffe_imagenet_fp16.safetensors"),
        transformer=dict(dropout=0.0),
    )
)

_test_transforms = [dict(type="ResizeShortestSide", sizes=[160], max_size=320)]
_dataset = dict(images="images", labels="contiguous", transforms=_test_transforms)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(
        annotations="train.json",
        images="images",
        labels="contiguous",
        cache_gb=1,
        transforms=[
            dict(type="RandomHorizontalFlip", p=0.5),
            dict(type="RandomVerticalFlip", p=0.5),
            *_test_transforms,
        ],
    ),
)
val_dataloader = dict(num_workers=1, dataset=dict(annotations="val.json", **_dataset))
test_dataloader = dict(num_workers=1, dataset=dict(annotations="test.json", **_dataset))

train_cfg = dict(max_epochs=6, val_interval=2)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="MultiStepLR", milestones=[5], gamma=0.1, by_epoch=True),
]
