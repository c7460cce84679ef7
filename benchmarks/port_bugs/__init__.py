"""Real port bugs planted in small nets, and faithful ports beside them: what tools for alignment are judged on."""
