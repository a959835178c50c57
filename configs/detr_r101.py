# ResNet-101: COCO val2017 AP 43.5.
_base_ = "detr_r50.py"

model = dict(network=dict(backbone=dict(depth=101, weights="ResNet101_Weights.IMAGENET1K_V1")))
