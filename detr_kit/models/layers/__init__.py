"""Layers that networks share: attention, deformable attention, feed-forward, encodings."""
