"""What a process can be: worker, refresher, relay, scheduler, or all of them with the archive of dead letters."""
