# Every box is asked with three contents: COCO val2017 AP 42.6 (Liu et al. 2022, table 2).
_base_ = "dab_detr_r50.py"

model = dict(network=dict(num_patterns=3))
