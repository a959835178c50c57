# DAB-DETR at the same size, asked with two patterns.
_base_ = "tiny_dn.py"

model = dict(network=dict(denoising=None, num_patterns=2, num_queries=6))
