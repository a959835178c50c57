# COCO 2017 in its usual folders, with the augmentation of DETR (Carion et al. 2020, appendix A.4).
data_root = "data/coco"  # every dataset's paths are relative to it

_sizes = [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]
_resize = dict(type="ResizeShortestSide", sizes=_sizes, max_size=1333)
_train_transforms = [
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(
        type="RandomChoice",
        pipelines=[
            [_resize],
            [
                dict(type="ResizeShortestSide", sizes=[400, 500, 600]),
                dict(type="RandomSizeCrop", min_size=384, max_size=600),
                _resize,
            ],
        ],
    ),
]
_test_transforms = [dict(type="ResizeShortestSide", sizes=[800], max_size=1333)]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="EpochSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler", drop_last=True),
    collate_fn=dict(type="detr_kit.pad_collate"),
    dataset=dict(
        type="CocoDataset",
        annotations="annotations/instances_train2017.json",
        images="train2017",
        labels="category_id",  # as in the original code, so that its checkpoints fit
        transforms=_train_transforms,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="detr_kit.pad_collate"),
    dataset=dict(
        type="CocoDataset",
        annotations="annotations/instances_val2017.json",
        images="val2017",
        labels="category_id",
        transforms=_test_transforms,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="CocoMetric")
test_evaluator = dict(type="CocoMetric")
