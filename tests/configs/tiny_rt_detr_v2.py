# RT-DETRv2 with whole pixels, and with more points on one level than on the other.
_base_ = "tiny_rt_detr.py"

model = dict(network=dict(type="RTDETRv2", decoder=dict(num_points=[2, 4], method="discrete")))
