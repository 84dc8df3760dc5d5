"""What surrounds a job: how it ends, in one line and an exit code, and what its process leaves behind. Only jobs import
it."""
