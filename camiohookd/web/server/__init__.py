"""What every listener needs: connections, requests, error responses, TLS."""
