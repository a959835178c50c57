"""Multi-scale deformable attention."""

from .backend import backend_report, use_backend
from .ms_deform_attn import ms_deform_attn, ms_deform_attn_fused
from .patch import patch

__all__ = ["backend_report", "ms_deform_attn", "ms_deform_attn_fused", "patch", "use_backend"]
