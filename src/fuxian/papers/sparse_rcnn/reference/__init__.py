"""What the official implementation computed, recorded, and the same detector in PyTorch."""
