"""What can be done in a contest: one function an action. Each asks the rules, checks who acts, and leaves an event."""
