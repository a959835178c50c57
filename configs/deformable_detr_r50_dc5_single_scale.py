# One level, stride 16 by dilation: COCO val2017 AP 41.5 (official repository).
_base_ = "deformable_detr_r50_single_scale.py"

model = dict(network=dict(backbone=dict(dilation=True)))
