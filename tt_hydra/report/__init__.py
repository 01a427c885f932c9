"""What a run gives to read: one self-contained HTML page, and a table for the terminal."""
