"""When to ask: on the scrape or on a timer; one flight, a deadline, an age. And the web server."""
