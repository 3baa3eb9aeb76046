import pytest
from flask import Flask

from dashboards.serving.safety import is_loopback, protect


def client(**settings):
    server = Flask("dashboard")

    @server.route("/", methods=["GET", "POST"])
    @server.route("/_dash-update-component", methods=["GET", "POST", "PUT"])
    @server.route("/look", methods=["GET", "POST"])
    def answer():
        return "the study"

    protect(server, **{"token": None, "local_only": False} | settings)
    return server.test_client()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8050", "localhost:1", "[::1]:8050", "LOCALHOST"])
def test_this_machine_is_answered_under_its_own_names(host):
    assert client(local_only=True).get("/", headers={"Host": host}).text == "the study"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8050", "localhost.evil.example", "127.0.0.1.nip.io", "[", ""]
)
def test_a_foreign_name_for_this_machine_is_refused(host):
    answer = client(local_only=True).get("/", headers={"Host": host})
    assert answer.status_code == 403
    assert "the study" not in answer.text


def test_without_the_token_nothing_is_answered():
    asked = client(token="a secret")
    for path in ("/", "/look", "/_dash-layout", "/?token=", "/?token=a+secre", "/?token=wrong", "/?token=ä"):
        answer = asked.get(path)
        assert answer.status_code == 401
        assert "needs its token" in answer.text
        assert "Set-Cookie" not in answer.headers


def test_the_first_visit_with_the_token_leads_to_the_address_without_it():
    asked = client(token="a secret")
    answer = asked.get("/?view=table&token=a+secret&show=1&show=2")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/?view=table&show=1&show=2"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "a secret" not in cookie
    assert asked.get("/look").text == "the study"


def test_a_wrong_token_is_refused_also_with_the_cookie_of_the_right_one():
    asked = client(token="a secret")
    asked.get("/?token=a+secret")
    assert asked.get("/?token=wrong").status_code == 401
    assert client(token="another").get("/").status_code == 401


def test_the_way_back_never_leads_to_another_machine():
    location = client(token="t").get("//evil.example/?token=t").headers["Location"]
    assert not location.startswith("//")
    assert "evil.example" not in location.split("/")[0]


@pytest.mark.parametrize("path", ["/%0d%0aX-Header:1", "/%5Cevil.example", "/%3Ftoken=t"])
def test_the_way_back_keeps_odd_letters_of_a_path_written_as_they_came(path):
    answer = client(token="t").get(f"{path}?token=t")
    assert answer.status_code == 303
    assert answer.headers["Location"].lower() == path.lower().replace(":", "%3a").replace("=", "%3d") or (
        answer.headers["Location"].lower() == path.lower()
    )


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("POST", "/look"), ("POST", "/_dash-update-component"), ("DELETE", "/")]
)
def test_nothing_but_reading_is_answered(method, path):
    assert client().open(path, method=method).status_code == 405


def test_pages_of_others_are_kept_from_the_answers():
    for answer in (client().get("/"), client(token="t").get("/")):
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_only_this_machines_own_addresses_are_loopback():
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org"))
