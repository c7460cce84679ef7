def diagnose(d): return None
def failure(d): return None
def reproducer(d): return ""
