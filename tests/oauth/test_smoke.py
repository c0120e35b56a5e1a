def test_x(signed_in, refresh, claims_of, session_of):
    a = refresh(signed_in.body["refresh_token"])
    assert a.status == 200, a.body
    c = claims_of(a)
    assert c["roles"] == ["author", "reviewer"]
    assert session_of(a).generation == 1
    b = refresh(signed_in.body["refresh_token"])
    assert b.status == 400
    assert refresh(a.body["refresh_token"]).status == 400
