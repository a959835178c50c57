# An augmentation of your own in a shipped detector:
#     detr-kit train --data DATA --model examples/custom_augmentation/config.py --checkpoint builtin
_base_ = "d_fine_n_shapes"
custom_imports = dict(imports=["fog"])  # the file beside this one, which registers Fog

train_dataloader = dict(
    dataset=dict(
        transforms=[
            dict(type="RandomHorizontalFlip", p=0.5),
            dict(type="ResizeShortestSide", sizes=[96, 112, 128], max_size=256),
            dict(type="Fog", p=0.5, most=0.6),
        ]
    )
)
