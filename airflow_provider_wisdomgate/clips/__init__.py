"""Keeps a video: claims its destination, downloads it whole or not at all, and records it in the manifest."""
