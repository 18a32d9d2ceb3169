"""Several fake servers: each can die, come back, lose its models and shut down."""

from __future__ import annotations

import socket

import pytest

from nupic_client import ConfigurationError, ServerClient
from nupic_client.testing import EndpointGroup


def test_each_server_has_a_port_and_answers():
    with EndpointGroup(3) as group:
        assert len(group) == len({*group.urls}) == 3
        assert [server.url for server in group] == group.urls
        for index, url in enumerate(group.urls):
            with ServerClient(url) as client:
                assert client.is_ready()
            assert group.index_of(url) == index
            assert group[index].calls == ("ServerReady",)
    assert group.shares == [0, 0, 0]


def test_a_killed_server_is_gone_and_comes_back_at_its_port():
    with EndpointGroup(2) as group:
        urls = group.urls
        for _ in range(3):
            group.kill(0)
            group.kill(0)
            with ServerClient(urls[0]) as client:
                assert not client.is_live()
            with ServerClient(urls[1]) as client:
                assert client.is_live()
            group.start_again(0)
            assert group.urls == urls
            with ServerClient(urls[0]) as client:
                client.wait_until_ready(timeout=60)


def test_a_running_server_may_be_started_again():
    with EndpointGroup(2) as group:
        group.start_again(1)
        with ServerClient(group.urls[1]) as client:
            client.wait_until_ready(timeout=60)


def test_a_server_may_be_unready():
    with EndpointGroup(2) as group, ServerClient(group.urls[0]) as client:
        group.set_ready(0, False)
        assert not client.is_ready()
        assert not client.is_model_ready("gpt")
        assert group[1].ready
        group.set_ready(0, True)
        assert client.is_ready()
        assert client.is_model_ready("gpt")


def test_a_server_may_shut_down():
    with EndpointGroup(2) as group, ServerClient(group.urls[0]) as client:
        group.set_exiting(0, True)
        assert not client.is_model_ready("gpt")
        group.set_exiting(0, False)
        assert client.is_model_ready("gpt")


def test_servers_may_have_addresses_of_their_own():
    with EndpointGroup(hosts=["127.0.0.1", "127.0.0.2"]) as group:
        assert [url.partition(":")[0] for url in group.urls] == ["127.0.0.1", "127.0.0.2"]


def test_options_are_those_of_each_server():
    with EndpointGroup(2, ["x"], bearer_tokens={"good"}) as group:
        assert {tuple(server.bearer_tokens) for server in group} == {("good",)}


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_wrong_count_is_refused(count):
    with pytest.raises(ConfigurationError, match="count"):
        EndpointGroup(count)


def taken_beside_a_free_one():
    """Return a socket at a port that is free at 127.0.0.1, where other programs are more likely to listen."""
    while True:
        taken = socket.create_server(("127.0.0.2", 0))
        try:
            socket.create_server(("127.0.0.1", taken.getsockname()[1])).close()
        except OSError:
            taken.close()
        else:
            return taken


def test_where_one_cannot_start_none_runs():
    with taken_beside_a_free_one() as taken:
        group = EndpointGroup(hosts=["127.0.0.1", "127.0.0.2"], port=taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match="cannot listen"), group:
            pass
        with ServerClient(group.urls[0]) as client:
            assert not client.is_live()
