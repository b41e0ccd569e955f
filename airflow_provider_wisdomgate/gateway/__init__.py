"""Speaks the gateway's video API. Knows no task and writes no file."""
