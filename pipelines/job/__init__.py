"""What all jobs share: error messages, exit codes and cleanup of temporary files. Imported only by jobs."""
