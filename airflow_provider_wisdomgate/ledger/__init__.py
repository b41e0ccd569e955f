"""The life of a clip: the record beside it, the rules, and the driver that applies them."""
