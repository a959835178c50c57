# DN-Deformable-DETR, ResNet-50, four levels, 50 epochs: COCO val2017 AP 49.5 (DN-DETR's README).
_base_ = "dab_deformable_detr_r50.py"

model = dict(network=dict(denoising=dict(type="Denoising", num_groups=5, label_noise=0.2, box_noise=0.4)))
