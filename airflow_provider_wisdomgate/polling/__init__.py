"""Waits for a video: when to poll, how fast a connection may, and what follows each poll."""
