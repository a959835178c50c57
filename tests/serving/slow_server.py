"""A server with a detector of known pace and known faults."""

import time

import numpy as np
import torch

from detr_kit.categories import Categories
from detr_kit.inference.detections import Detections
from detr_kit.serving import Limits, create_app, run_server

UNLUCKY = 13  # an image whose first pixel has this red value breaks its batch


class SlowDetector:
    """Finds in each image one box of the image's own size, after a pause for the batch."""

    device = "cpu"
    categories = Categories(("thing",), (1,))
    class_names = categories.names

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, images: list[np.ndarray], score_threshold=0.3, *, batch_size=8):
        time.sleep(self.seconds)
        if any(image[0, 0, 0] == UNLUCKY for image in images):
            raise RuntimeError("an unlucky number")
        assert len({image.shape for image in images}) == 1
        return [self._found(image) for image in images]

    def _found(self, image):
        height, width = image.shape[:2]
        box = torch.tensor([[0.0, 0.0, width, height]])
        return Detections(box, torch.tensor([0.9]), torch.tensor([0]), self.categories, image)


def serve_slowly(seconds, limits):
    """Serve a SlowDetector on a free port; returns on SIGTERM."""
    bounds = Limits(**limits)
    run_server(create_app(SlowDetector(seconds), bounds, name="slow"), bounds, "127.0.0.1", 0)
