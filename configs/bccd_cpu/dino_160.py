# DINO beside deformable_detr_160.py: the same pictures, steps, learning rates and number of queries.
_base_ = "deformable_detr_160.py"

model = dict(
    network=dict(
        _delete_=True,
        type="DINO",
        num_classes=3,
        num_queries=100,
        denoising=dict(type="ContrastiveDenoising", num_denoising=100, label_noise=0.25, box_noise=1.0),
        backbone=dict(
            type="ResNet",
            depth=50,
            strides=(8, 16, 32),
            frozen_stages=1,
            norm="frozen",
            style="caffe",
            weights="data/weights/resnet50_caffe_imagenet_fp16.safetensors",
        ),
        neck=dict(type="ChannelMapper", in_channels=[512, 1024, 2048], out_channels=256, num_levels=4),
        position_encoding=dict(type="SinePositionEncoding", num_feats=128, temperature=20),
        transformer=dict(
            type="DeformableTransformer",
            embed_dims=256,
            num_heads=8,
            num_encoder_layers=6,
            num_decoder_layers=6,
            ffn_dims=2048,
            dropout=0.0,
            num_levels=4,
            num_points=4,
        ),
    ),
    criterion=dict(weight_class=1),
)
