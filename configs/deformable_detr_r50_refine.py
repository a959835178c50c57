# + iterative bounding box refinement: COCO val2017 AP 46.2 (official repository).
_base_ = "deformable_detr_r50.py"

model = dict(network=dict(refine=True))
