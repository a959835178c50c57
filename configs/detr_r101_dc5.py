# ResNet-101, DC5: COCO val2017 AP 44.9.
_base_ = "detr_r101.py"

model = dict(network=dict(backbone=dict(dilation=True)))
