"""Crashes, so that the kernel writes (or hands to a program of the host) an image of its memory."""

import os
import resource

if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
    print("ESCAPED: core")
os.abort()
