"""One HTML file that shows a trace in any browser: nothing is fetched, nothing runs."""
