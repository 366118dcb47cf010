"""Tables that are answers, not data."""
