"""What fine-tuning takes, beside what others take for the same."""
