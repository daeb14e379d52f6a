"""CLIP towers; the only room that imports open_clip."""
