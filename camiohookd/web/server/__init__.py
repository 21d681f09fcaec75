"""What every listener needs: connections, requests, answers, TLS."""
