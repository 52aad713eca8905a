"""One file that installs a box: `gather` collects what is in it, `archive` writes it, the scripts run on the box."""
