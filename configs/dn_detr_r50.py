# DN-DETR, ResNet-50, 50 epochs: COCO val2017 AP 44.1, optimised 44.4 (Li et al. 2022, table 1; the code's README).
_base_ = "dab_detr_r50.py"

model = dict(network=dict(denoising=dict(type="Denoising", num_groups=5, label_noise=0.2, box_noise=0.4)))
