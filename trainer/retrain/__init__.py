"""`mekiki-train retrain`: the same recipe on what the line has shown since, and whether that made it better."""
