"""What Prometheus reads: counted while requests run, looked up every few seconds, served on a port of its own."""
