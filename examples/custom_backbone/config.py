# A backbone of your own in a shipped detector:
#     detr-kit train --data DATA --model examples/custom_backbone/config.py
_base_ = "deformable_detr_r18_shapes"
custom_imports = dict(imports=["regnet"])  # the file beside this one, which registers RegNet

model = dict(
    network=dict(
        backbone=dict(_delete_=True, type="RegNet", weights="DEFAULT"),  # _delete_: nothing of the base stays
        neck=dict(in_channels=[104, 208, 440], num_levels=3),
        transformer=dict(num_levels=3),
    )
)
