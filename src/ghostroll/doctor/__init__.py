"""What keeps this machine from working: facts are gathered, and judged by themselves, theme by theme."""
