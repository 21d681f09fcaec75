"""HTTP requests to other machines: addresses are checked, time is bounded, connections are kept only if clean.

    adapter: requests' adapter ─▶ dialer: name, addresses, each checked ─▶ socket
       └─ attempt: one request's step and time limits      answer: one HTTP answer, whole or refused

`delivery` posts labels with it, and `labelers.remote` asks an inference server. Redirects are not followed, and nothing
is taken from the environment: no proxy, no .netrc, no other certificates.
"""
