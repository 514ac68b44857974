//! Where an event may be sent to. Whoever may create a sink must not reach, through the server, what only the server
//! can reach: its own ports, the machines beside it, the metadata service of a cloud.
//!
//! A name is resolved once; the addresses are checked, and the connection goes to a checked address. A name that answers
//! with another address the next moment gains nothing.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A host that is not to be reached, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refused {}

/// Why no address was had for a host.
#[derive(Debug)]
pub(super) enum NoAddress {
    /// It may not be reached.
    Refused(Refused),
    /// The name did not resolve; it may do so later.
    Unknown(String),
}

/// Checks a host that is an address; a name passes, as it is checked when it is resolved.
///
/// # Errors
/// For an address that is not public.
pub(super) fn check_literal(host: &str) -> Result<(), Refused> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().map_or(Ok(()), |address: IpAddr| check(host, address))
}

/// The addresses of a host, checked unless `any` address is allowed.
///
/// # Errors
/// When one of them is not public, and when the name does not resolve.
pub(super) async fn resolve(host: &str, port: u16, any: bool) -> Result<Vec<SocketAddr>, NoAddress> {
    let unknown = |why: String| NoAddress::Unknown(format!("cannot resolve {host}: {why}"));
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((bare, port)).await.map_err(|error| unknown(error.to_string()))?.collect();
    if addresses.is_empty() {
        return Err(unknown("it has no address".to_owned()));
    }
    if !any {
        // One bad address is enough: a name for both the outside and the inside is not there by accident.
        addresses.iter().try_for_each(|address| check(host, address.ip())).map_err(NoAddress::Refused)?;
    }
    Ok(addresses)
}

/// The resolver of an HTTP client that connects to public addresses only.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            match resolve(name.as_str(), 0, false).await {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(NoAddress::Refused(refused)) => Err(refused.into()),
                Err(NoAddress::Unknown(why)) => Err(why.into()),
            }
        })
    }
}

/// The refusal among the causes of an error.
pub(super) fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref() {
            return Some(refused);
        }
        cause = error.source();
    }
    None
}

fn check(host: &str, address: IpAddr) -> Result<(), Refused> {
    match not_public(address) {
        None => Ok(()),
        Some(kind) => {
            let which = if host.trim_matches(['[', ']']) == address.to_string() {
                host.to_owned()
            } else {
                format!("{host} ({address})")
            };
            Err(Refused(format!("{which} is {kind} address; allow_private or allow_hosts would let it through")))
        }
    }
}

/// What an address is when it is not a public one, after the registries of special addresses (IANA, RFC 6890).
fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => not_public_v4(address),
        IpAddr::V6(address) => not_public_v6(address),
    }
}

fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Some("an unspecified"),
        (127, ..) => Some("a loopback"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some("a private"),
        (169, 254, _) => Some("a link-local"),
        (100, 64..=127, _) => Some("a carrier's private"),
        (192, 0, 0 | 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => Some("a reserved"),
        (224..=239, ..) => Some("a multicast"),
        (240..=255, ..) => Some("a reserved"),
        _ => None,
    }
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, second, .., next_to_last, last] = address.segments();
    let inner = |high: u16, low: u16| not_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    if address.is_unspecified() {
        return Some("an unspecified");
    }
    if address.is_loopback() {
        return Some("a loopback");
    }
    // An IPv4 address in the clothes of IPv6 is judged by what is inside.
    if let Some(mapped) = address.to_ipv4_mapped() {
        return not_public_v4(mapped);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, ..] => Some("a reserved"),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => inner(next_to_last, last),
        [0x2002, high, low, ..] => inner(high, low),
        _ => match first {
            0xfc00..=0xfdff => Some("a unique local"),
            0xfe80..=0xfebf => Some("a link-local"),
            0xff00..=0xffff => Some("a multicast"),
            0x2001 if second < 0x200 || second == 0xdb8 => Some("a reserved"),
            0x2000..=0x3fff => None,
            _ => Some("a reserved"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> Option<&'static str> {
        not_public(address.parse().expect(address))
    }

    #[test]
    fn public_addresses_pass() {
        for address in ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.169.0.1"] {
            assert_eq!(kind(address), None, "{address}");
        }
        for address in
            ["2606:4700::1111", "2a00:1450:4001::8a", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
        {
            assert_eq!(kind(address), None, "{address}");
        }
    }

    #[test]
    fn every_other_address_is_named_by_its_kind() {
        for (address, wanted) in [
            ("0.0.0.0", "an unspecified"),
            ("0.1.2.3", "an unspecified"),
            ("127.0.0.1", "a loopback"),
            ("127.255.255.254", "a loopback"),
            ("10.0.0.1", "a private"),
            ("172.16.0.1", "a private"),
            ("172.31.255.255", "a private"),
            ("192.168.1.1", "a private"),
            ("169.254.169.254", "a link-local"),
            ("100.64.0.1", "a carrier's private"),
            ("192.0.2.1", "a reserved"),
            ("198.18.0.1", "a reserved"),
            ("224.0.0.1", "a multicast"),
            ("255.255.255.255", "a reserved"),
            ("::", "an unspecified"),
            ("::1", "a loopback"),
            ("::ffff:127.0.0.1", "a loopback"),
            ("::ffff:169.254.169.254", "a link-local"),
            ("::10.0.0.1", "a reserved"),
            ("64:ff9b::a00:1", "a private"),
            ("64:ff9b:1::1", "a reserved"),
            ("2002:7f00:1::1", "a loopback"),
            ("2001::1", "a reserved"),
            ("2001:db8::1", "a reserved"),
            ("fc00::1", "a unique local"),
            ("fd12:3456::1", "a unique local"),
            ("fe80::1", "a link-local"),
            ("fec0::1", "a reserved"),
            ("ff02::1", "a multicast"),
            ("100::1", "a reserved"),
        ] {
            assert_eq!(kind(address), Some(wanted), "{address}");
        }
    }

    #[test]
    fn an_address_in_place_of_a_name_is_checked_at_once() {
        assert_eq!(check_literal("hooks.example.com"), Ok(()));
        assert_eq!(check_literal("[2606:4700::1111]"), Ok(()));
        let refused = check_literal("169.254.169.254").expect_err("the metadata service").to_string();
        assert_eq!(
            refused,
            "169.254.169.254 is a link-local address; allow_private or allow_hosts would let it through"
        );
        let refused = check_literal("[::1]").expect_err("loopback").to_string();
        assert!(refused.starts_with("[::1] is a loopback address;"), "{refused}");
    }

    #[tokio::test]
    async fn a_name_is_checked_by_its_addresses() {
        let refused = resolve("localhost", 80, false).await;
        let Err(NoAddress::Refused(refused)) = refused else { panic!("{refused:?}") };
        assert!(refused.to_string().starts_with("localhost ("), "{refused}");
        let allowed = resolve("localhost", 80, true).await.expect("any address");
        assert!(allowed.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
        assert!(resolve("[::1]", 80, true).await.is_ok());
        assert!(matches!(resolve("no-such-name.invalid", 80, false).await, Err(NoAddress::Unknown(_))));
    }
}
