"""The challenge: papers are published with a target, teams reproduce them, the first to reach the target wins."""
