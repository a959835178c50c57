# DC5, the last stage dilated: COCO val2017 AP 43.3.
_base_ = "detr_r50.py"

model = dict(network=dict(backbone=dict(dilation=True)))
