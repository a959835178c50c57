# DAB-Deformable-DETR at the same size.
_base_ = "tiny_dn_deformable.py"

model = dict(network=dict(denoising=None))
