"""What a process can be: a worker, a refresher, a relay, or all of them with the archive of dead letters."""
