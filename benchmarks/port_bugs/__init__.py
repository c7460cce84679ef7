"""Real port bugs planted in small nets, and faithful ports beside them: what tools are judged on."""
