"""What script/seed runs: a history of payments, played by the rules of contract section 3 and written in batches."""
