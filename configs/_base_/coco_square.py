# COCO 2017 as RT-DETR and D-FINE are trained on it: squares of 640 pixels, 80 contiguous classes, and strong
# augmentation that ends before training does.
_base_ = "coco.py"

_strong = dict(
    type="UntilEpoch",
    epoch=71,  # the first without, counted from 0
    transforms=[
        dict(type="RandomPhotometricDistort", p=0.5),
        dict(type="RandomZoomOut", fill=0),
        dict(type="RandomApply", p=0.8, transforms=[dict(type="RandomIoUCrop")]),
        dict(type="SanitizeBoundingBoxes", min_size=1),
    ],
)
_resize = dict(type="Resize", size=[640, 640], antialias=True)
_plain = [
    dict(type="RandomHorizontalFlip", p=0.5),
    _resize,
    dict(type="SanitizeBoundingBoxes", min_size=1),
]
_test = dict(dataset=dict(labels="contiguous", transforms=[_resize]))

train_dataloader = dict(batch_size=4, dataset=dict(labels="contiguous", transforms=[_strong, *_plain]))
val_dataloader = _test
test_dataloader = _test
