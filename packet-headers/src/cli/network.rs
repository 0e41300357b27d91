//! Networks of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

/// An address, or a network.
///
/// # Errors
/// Which part of it is wrong, and how it is written.
pub(super) fn parse(text: &str) -> Result<IpNet, String> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(format!(
            "{address:?} is no IP address: write one, or a network as in 192.0.2.0/24 or \
             2001:db8::/32"
        ));
    };
    let Some(prefix) = prefix else {
        return Ok(address.into());
    };
    let network = prefix.parse().ok();
    let network = network.and_then(|prefix| IpNet::new(address, prefix).ok());
    network.ok_or_else(|| {
        let (family, most) = match address {
            IpAddr::V4(_) => ("IPv4", 32),
            IpAddr::V6(_) => ("IPv6", 128),
        };
        format!("the prefix length of an {family} network is 0 to {most}, not {prefix:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_network_of_one() {
        for (given, meant) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("10.0.0.1/0", "10.0.0.1/0"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(parse(given).unwrap(), meant.parse().unwrap(), "{given}");
        }
    }

    #[test]
    fn it_is_said_which_part_is_wrong() {
        for (given, said) in [
            ("10.0.0.1/33", "of an IPv4 network is 0 to 32, not \"33\""),
            ("10.0.0.1/", "0 to 32"),
            ("10.0.0.1/255.0.0.0", "0 to 32"),
            ("::/129", "of an IPv6 network is 0 to 128"),
            ("example.org/8", "\"example.org\" is no IP address"),
            ("10.0.0/8", "\"10.0.0\" is no IP address"),
            ("", "is no IP address"),
        ] {
            let refusal = parse(given).unwrap_err();
            assert!(refusal.contains(said), "{given}: {refusal}");
        }
    }
}
