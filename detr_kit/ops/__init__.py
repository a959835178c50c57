"""Multi-scale deformable attention."""

from .backend import backend_report, use_backend
from .ms_deform_attn import ms_deform_attn, ms_deform_attn_fused

__all__ = ["backend_report", "ms_deform_attn", "ms_deform_attn_fused", "use_backend"]
