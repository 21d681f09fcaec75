"""Picture files to pixels, and what is found in them: `Detection`, its box and its polygon."""
