from camiohookd.web.nonces import LIFETIME, MOST, Nonces


def test_an_announced_nonce_is_answered_once() -> None:
    nonces = Nonces()
    proof = nonces.expect("n")
    assert len(proof) == 32
    assert nonces.take("n") == proof
    assert nonces.take("n") is None


def test_does_not_answer_unknown_nonces() -> None:
    nonces = Nonces()
    nonces.expect("n")
    assert nonces.take("") is None
    assert nonces.take("m") is None


def test_two_proofs_differ() -> None:
    nonces = Nonces()
    assert nonces.expect("n") != nonces.expect("m")


def test_a_nonce_expires() -> None:
    now = 0.0
    nonces = Nonces(lambda: now)
    nonces.expect("n")
    now = LIFETIME
    assert nonces.take("n") is None


def test_bounds_the_number_of_nonces() -> None:
    nonces = Nonces()
    for number in range(MOST + 1):
        nonces.expect(str(number))
    assert nonces.take("0") is None
    assert nonces.take("1") is not None
