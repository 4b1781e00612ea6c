"""Which addresses and URLs may be called."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventyard.core import limits
from eventyard.core.errors import ForbiddenTarget, InvalidRule
from eventyard.core.network import SPECIAL_4, SPECIAL_6, Policy, SpecialRange, check_url, parse_url

OPEN = Policy()
HOME = Policy(is_loopback_allowed=True)


def addresses_inside(special: SpecialRange) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    first, last = int(special.network[0]), int(special.network[-1])
    kind = IPv4Address if special.network.version == 4 else IPv6Address
    return st.integers(first, last).map(kind)


@given(st.sampled_from(SPECIAL_4 + SPECIAL_6).flatmap(addresses_inside))
def test_every_address_of_a_special_range_is_refused(address: IPv4Address | IPv6Address) -> None:
    assert OPEN.verdict(address)


@pytest.mark.parametrize("special", SPECIAL_4 + SPECIAL_6, ids=lambda special: str(special.network))
def test_a_special_range_is_refused_from_its_first_to_its_last_address(special: SpecialRange) -> None:
    assert OPEN.verdict(special.network[0])
    assert OPEN.verdict(special.network[-1])


@given(st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)))
def test_what_the_standard_library_calls_not_global_is_refused(address: IPv4Address | IPv6Address) -> None:
    assert address.is_global or OPEN.verdict(address)


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254",  # Amazon, Google, Azure, ...
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure
        "fd00:ec2::254",  # Amazon over IPv6
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::ffff:169.254.169.254",
    ],
)
def test_the_metadata_services_of_the_clouds_are_refused(text: str) -> None:
    assert HOME.verdict(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0"),
        *("168.63.129.15", "168.63.129.17", "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
        *("2606:4700:4700::1111", "2001:4860:4860::8888", "2001:200::1", "2003::1", "2a00:1450::1", "3fff:1000::1"),
    ],
)
def test_a_public_address_next_to_a_special_range_is_allowed(text: str) -> None:
    assert OPEN.verdict(ip_address(text)) is None


def test_loopback_is_allowed_only_by_its_flag() -> None:
    for text in ("127.0.0.1", "127.255.255.255", "::1"):
        assert OPEN.verdict(ip_address(text))
        assert HOME.verdict(ip_address(text)) is None


def test_the_loopback_flag_allows_nothing_that_wraps_loopback() -> None:
    for text in ("::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0", "::"):  # noqa: S104 - refused
        assert HOME.verdict(ip_address(text))


def test_an_allowed_network_wins_over_the_list_and_ends_where_it_ends() -> None:
    policy = Policy(allowed=(IPv4Network("10.1.0.0/16"), IPv6Network("fd00:1::/32")))
    assert policy.verdict(ip_address("10.1.255.255")) is None
    assert policy.verdict(ip_address("10.2.0.0"))
    assert policy.verdict(ip_address("fd00:1::7")) is None
    assert policy.verdict(ip_address("fd00:2::7"))


@pytest.mark.parametrize(
    ("network", "inner_is_public", "inner_is_private"),
    [
        ("64:ff9b::/96", "64:ff9b::808:808", "64:ff9b::a00:1"),
        ("2002::/16", "2002:808:808::1", "2002:a00:1::1"),
        ("::ffff:0:0/96", "::ffff:8.8.8.8", "::ffff:10.0.0.1"),
        ("2001::/32", "2001:0:808:808:0:0:f7f7:f7f7", "2001:0:808:808:0:0:f5ff:fffe"),
    ],
)
def test_an_allowed_translator_leads_only_where_the_inner_address_may_go(
    network: str, inner_is_public: str, inner_is_private: str
) -> None:
    policy = Policy(allowed=(IPv6Network(network),))
    assert policy.verdict(ip_address(inner_is_public)) is None
    assert policy.verdict(ip_address(inner_is_private))


def test_a_verdict_names_the_kind_and_the_range() -> None:
    assert OPEN.verdict(ip_address("10.0.0.1")) == "private (10.0.0.0/8)"


@pytest.mark.parametrize(
    ("url", "text", "host", "port"),
    [
        ("http://example.com", "http://example.com/", "example.com", 80),
        ("HTTPS://Example.COM:443/Path?Query=1", "https://example.com/Path?Query=1", "example.com", 443),
        ("http://example.com:8080?q", "http://example.com:8080/?q", "example.com", 8080),
        ("http://example.com./", "http://example.com/", "example.com", 80),
        ("http://my_service:9005/events", "http://my_service:9005/events", "my_service", 9005),
        ("http://bücher.example/", "http://xn--bcher-kva.example/", "xn--bcher-kva.example", 80),
        ("http://8.8.8.8/", "http://8.8.8.8/", "8.8.8.8", 80),
        ("http://0x08080808/", "http://8.8.8.8/", "8.8.8.8", 80),
        ("http://[2606:4700:0::1111]:81/", "http://[2606:4700::1111]:81/", "2606:4700::1111", 81),
        ("http://example.com/a@b:c", "http://example.com/a@b:c", "example.com", 80),
        ("http://3com.example/", "http://3com.example/", "3com.example", 80),
    ],
)
def test_a_url_is_rebuilt_from_its_parts(url: str, text: str, host: str, port: int) -> None:
    parsed = check_url(url, OPEN)
    assert (parsed.text, parsed.host, parsed.port) == (text, host, port)
    assert check_url(parsed.text, OPEN) == parsed


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0177.1", "017700000001"),
        *("127.0.0.1.", "127.0.0.0x1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]"),
        *("１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1"),  # noqa: RUF001 - they look alike on purpose
        *("0", "0.0.0.0", "10.1", "0xa9fea9fe", "2852039166", "192.168.257", "[64:ff9b::7f00:1]", "[fe80::1]"),  # noqa: S104 - refused
        *("localhost", "LOCALHOST", "localhost.", "api.localhost"),
    ],
)
def test_a_forbidden_host_is_seen_in_every_spelling(host: str) -> None:
    with pytest.raises(ForbiddenTarget):
        check_url(f"http://{host}/", OPEN)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "{:#x}", "0{:o}"]), st.integers(0, 3))
def test_every_spelling_of_an_ipv4_address_is_that_address(value: int, spelling: str, dots: int) -> None:
    heads = [spelling.format((value >> (24 - 8 * place)) & 255) for place in range(dots)]
    last = spelling.format(value & (2 ** (32 - 8 * dots) - 1))
    assert parse_url(f"http://{'.'.join([*heads, last])}/").address == IPv4Address(value)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "example.com",
            "//example.com/",
            "http:/example.com",
            "http:example.com",
            "http:///path",
            "http://:80/",
            "http://?",
        ),
        *("ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "ws://example.com/"),
        *(
            "http://user@example.com/",
            "http://user:secret@example.com/",
            "http://example.com:80@10.0.0.1/",
            "http://@example.com/",
        ),
        *("http://example.com:0/", "http://example.com:65536/", "http://example.com:/", "http://example.com:8a/"),
        *("http://example.com:80:80/", "http://example.com:+80/", "http://example.com:٨٠/"),
        *("http://exa mple.com/", "http://example.com/a b", "http://example.com/\r\nHost: x", "http://example.com/\x00"),
        *(
            "http://example.com\\@10.0.0.1/",
            "http://example.com/\\x",
            "http://example.com/#part",
            "http://example.com#@10.0.0.1/",
        ),
        *(
            "http://example..com/",
            "http://.example.com/",
            "http://-.example/",
            "http://exa%6dple.com/",
            "http://a,b/",
            "http://*/",
        ),
        *("http://1.2.3.4.5/", "http://256.0.0.1/", "http://08.0.0.1/", "http://4294967296/", "http://1..1/", "http://a.1/"),
        *("http://[::1/", "http://::1/", "http://[::1%25lo]/", "http://[fe80::1%lo]/", "http://[v1.x]/", "http://[::1]x/"),
        *("http://example.com/ü", "http://exa\u2028mple.com/", "http://xn--bücher.example/", "http://℀.example/"),
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 127 + "example/",
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        check_url(url, HOME)
    assert caught.value.at == "/target/http/url"
    assert caught.value.wanted


def test_a_url_is_taken_at_the_limit_and_refused_one_past_it() -> None:
    start = "http://example.com/"
    at_limit = start + "a" * (limits.TARGET_URL_LENGTH_MAX - len(start))
    assert check_url(at_limit, OPEN).text == at_limit
    with pytest.raises(InvalidRule, match="characters"):
        check_url(at_limit + "a", OPEN)


@pytest.mark.parametrize(
    "url",
    ["http://me:hunter2@example.com/", "http://10.0.0.1/?key=hunter2", "http://example.com/?hunter2#x", "ftp://h/hunter2"],
)
def test_no_message_repeats_a_secret_of_the_url(url: str) -> None:
    with pytest.raises((InvalidRule, ForbiddenTarget)) as caught:
        check_url(url, OPEN)
    assert "hunter2" not in str(caught.value)


def test_a_forbidden_host_is_named_with_the_way_out() -> None:
    with pytest.raises(ForbiddenTarget, match=r"10\.0\.0\.1: private .* --allow-network"):
        check_url("http://10.0.0.1/", OPEN)


@given(st.text(max_size=60))
def test_any_text_after_the_scheme_is_a_target_or_refused(text: str) -> None:
    try:
        parsed = check_url("http://" + text, OPEN)
    except (InvalidRule, ForbiddenTarget):
        return
    assert check_url(parsed.text, OPEN) == parsed
