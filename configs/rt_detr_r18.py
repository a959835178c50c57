# ResNet-18-D: COCO val2017 AP 46.5 (official repository).
_base_ = "rt_detr_r34.py"

model = dict(network=dict(backbone=dict(depth=18), decoder=dict(num_layers=3)))
