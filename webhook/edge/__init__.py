"""What alertmend touches: each module wraps exactly one outside thing."""
