# D-FINE at the same size.
_base_ = "tiny_rt_detr.py"

model = dict(
    channels_last=True,
    network=dict(
        type="DFINE",
        num_bins=16,
        backbone=dict(
            _delete_=True, type="HGNetv2", variant="B0", strides=(8, 16), frozen_stages=-1, norm="batch"
        ),
        neck=dict(type="ElanHybridEncoder", in_channels=[256, 512]),
        decoder=dict(type="DFINEDecoder", num_points=[2, 4]),
        denoising=dict(swap_crossed=True),
    ),
    criterion=dict(union=True, further=[dict(type="FineGrainedLoss")]),
)
