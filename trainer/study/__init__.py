"""`mekiki-train compare`: which model, which threshold, how sure, and what happens when the line changes."""
