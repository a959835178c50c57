# Fine-tuning on a real set of 205 photographs: blood cells, three classes (github.com/Shenggan/BCCD_Dataset).
_base_ = "deformable_detr_r50.py"

data_root = "data/bccd"

model = dict(
    network=dict(
        num_classes=3,
        num_queries=100,
        # A caffe-style ResNet-50; torchvision's own weights go with style="pytorch".
        backbone=dict(style="caffe", weights="data/weights/resnet50_caffe_imagenet_fp16.safetensors"),
    )
)

_sizes = [320, 352, 384, 416, 448, 480]
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(
        annotations="train.json",
        images="images",
        labels="contiguous",
        transforms=[
            dict(type="RandomHorizontalFlip", p=0.5),
            dict(type="RandomVerticalFlip", p=0.5),
            dict(type="ResizeShortestSide", sizes=_sizes, max_size=640),
        ],
    ),
)
_test_transforms = [dict(type="ResizeShortestSide", sizes=[480], max_size=640)]
val_dataloader = dict(
    num_workers=1,
    dataset=dict(annotations="val.json", images="images", labels="contiguous", transforms=_test_transforms),
)
test_dataloader = dict(
    num_workers=1,
    dataset=dict(annotations="test.json", images="images", labels="contiguous", transforms=_test_transforms),
)

optim_wrapper = dict(optimizer=dict(lr=2e-4))
train_cfg = dict(max_epochs=50)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type="MultiStepLR", milestones=[40], gamma=0.1, by_epoch=True),
]
