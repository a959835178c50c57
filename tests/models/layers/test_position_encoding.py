"""Positions are those of the papers, and padding does not shift them."""

import math

import pytest
import torch

from detr_kit.models import LearnedPositionEncoding, SinePositionEncoding


class TestPositionEncoding:
    def test_padding_does_not_shift_the_encoding(self):
        encoding = SinePositionEncoding(8)
        alone = encoding(torch.zeros(1, 4, 5, dtype=torch.bool))
        mask = torch.ones(1, 6, 9, dtype=torch.bool)
        mask[:, :4, :5] = False
        torch.testing.assert_close(encoding(mask)[:, :4, :5], alone)

    def test_the_last_pixel_of_detr_is_a_full_turn(self):
        encoding = SinePositionEncoding(8)(torch.zeros(1, 3, 3, dtype=torch.bool))
        torch.testing.assert_close(encoding[0, 2, 0, 0], torch.tensor(2 * math.pi).sin(), atol=1e-5, rtol=0)

    def test_deformable_detr_encodes_pixel_centres(self):
        encoding = SinePositionEncoding(8, offset=-0.5)(torch.zeros(1, 2, 2, dtype=torch.bool))
        torch.testing.assert_close(encoding[0, 0, 0, 0], torch.tensor(math.pi / 2).sin())

    def test_learned(self):
        encoding = LearnedPositionEncoding(4, num_positions=6)
        result = encoding(torch.zeros(2, 5, 6, dtype=torch.bool))
        assert result.shape == (2, 5, 6, 8)
        torch.testing.assert_close(
            result[0, 1, 2], torch.cat((encoding.col_embed.weight[2], encoding.row_embed.weight[1]))
        )
        with pytest.raises(ValueError, match="num_positions=6"):
            encoding(torch.zeros(1, 7, 2, dtype=torch.bool))
