"""A port on several processes against itself on one: the joint batch is shared out, and every stage compared."""
